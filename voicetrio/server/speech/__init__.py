"""The speech server: an HTTP API compatible with OpenAI's, and a page to try it."""

from __future__ import annotations

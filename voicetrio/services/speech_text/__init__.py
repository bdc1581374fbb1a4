"""What happens to a text before a voice gets it: markup, pronunciations, numbers in words, clauses.

Pure functions without I/O.
"""

from __future__ import annotations

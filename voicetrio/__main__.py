"""``python -m voicetrio``: the same as the command ``voicetrio``."""

from __future__ import annotations

import sys

from voicetrio.cli import main

sys.exit(main())

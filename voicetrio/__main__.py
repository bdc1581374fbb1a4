"""The process of the command, be it started as ``voicetrio`` or as ``python -m voicetrio``."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

__all__ = ["run"]

INTERRUPTED = 130
_IDLE_THREAD = "Trio thread "
"""How trio names a thread that waits for its next job."""


def run() -> NoReturn:
    """Run the command line, and end the process with its exit status.

    A command that was cancelled may have left a thread inside of a model's library, or waiting for standard
    input.  Python would crash on its way out beside such a thread, so then the process ends here.
    """
    try:
        from voicetrio.cli import main  # it takes a moment, in which Ctrl-C can come

        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    if any(thread.daemon and not thread.name.startswith(_IDLE_THREAD) for thread in threading.enumerate()):
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    run()

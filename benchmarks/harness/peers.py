"""The peers' environments: made by one command, in a folder of the checkout that git ignores."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["FOLDER", "PEERS", "python_of", "set_up"]

FOLDER: Final = Path(__file__).parents[2] / ".bench"

PEERS: Final = {
    "pipecat": ("pipecat-ai[websocket]==1.14.0", "uvicorn"),
    "livekit": ("livekit-agents==1.8.9",),
}
"""What each environment holds.  Pinned, so that a figure names what it was compared with."""


def python_of(peer: str) -> str | None:
    """Return the interpreter of the peer's environment; None if it was not made."""
    python = _environment(peer) / "bin" / "python"
    return str(python) if _is_complete(peer) and python.exists() else None


def set_up(say: Callable[[str], None]) -> None:
    """Make the environments that are missing; raises subprocess.CalledProcessError when pip fails."""
    for peer, requirements in PEERS.items():
        if _is_complete(peer):
            say(f"{peer}: is there")
            continue
        say(f"{peer}: installing {', '.join(requirements)}")
        venv.create(_environment(peer), with_pip=True, clear=True)
        python = _environment(peer) / "bin" / "python"
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
            check=True,
            stdout=sys.stderr,
        )
        # Written last: an interrupted installation is no environment.
        _mark(peer).write_text("\n".join(requirements))


def _environment(peer: str) -> Path:
    return FOLDER / "peers" / peer


def _mark(peer: str) -> Path:
    return _environment(peer) / "complete"


def _is_complete(peer: str) -> bool:
    mark = _mark(peer)
    return mark.exists() and mark.read_text() == "\n".join(PEERS[peer])

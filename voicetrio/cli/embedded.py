"""The agent that the commands talk with: local models, no key, no server, no download."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from voicetrio.cli.console import make_progress
from voicetrio.conversation import Agent
from voicetrio.services import local

__all__ = ["GREETING", "embedded_agent", "open_models_with_progress"]

GREETING: Final = (
    "Hello, and welcome. I am a voice agent, and I run on this machine alone, with no key and no network. "
    "I can tell you the time, do sums, read numbers back to you, and tell you a story. "
    "You may interrupt me whenever you like, and I will stop and listen to you."
)
"""Long enough to be spoken over."""


def embedded_agent(models: local.LocalModels, *, greeting: str | None = GREETING, bed: bool = True) -> Agent:
    """Return the agent with ``models``; ``bed`` puts room noise under it."""
    return Agent(models, greeting=greeting, bed="room" if bed else None)


@asynccontextmanager
async def open_models_with_progress(*, quiet: bool, **paths: Any) -> AsyncIterator[local.LocalModels]:
    """Load the models, and show on standard error how far that is."""
    progress = make_progress()
    bars: dict[str, Any] = {}

    def on_progress(name: str, done: bool) -> None:
        if name not in bars:
            bars[name] = progress.add_task(f"loading {name}", total=1)
        progress.update(bars[name], completed=int(done))

    if not quiet:
        progress.start()
    stop: Callable[[], object] = progress.stop
    try:
        async with local.open_models(on_progress=on_progress, **paths) as models:
            stop()
            # The models' libraries brought hundreds of thousands of objects that will not go: a full
            # collection over them would stop the playout for longer than a client's buffer lasts.
            gc.collect()
            gc.freeze()
            yield models
    finally:
        gc.unfreeze()
        stop()

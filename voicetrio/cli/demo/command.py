"""``voicetrio demo``: a spoken conversation over a real WebSocket, recorded and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import trio
from cyclopts import Parameter

from voicetrio.cli.call.figures import as_object, figures, measure_call, recording_of
from voicetrio.cli.call.live_view import LiveView
from voicetrio.cli.call.output import show_call, write_call
from voicetrio.cli.call.session_log import Census, count_left
from voicetrio.cli.console import make_console, print_json
from voicetrio.cli.demo.line import hold_call
from voicetrio.cli.embedded import open_models_with_progress
from voicetrio.cli.files import make_folder
from voicetrio.cli.running import StopRequest, run_command

__all__ = ["demo"]


def demo(
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object instead of tables.")] = False,
    out: Annotated[Path, Parameter(help="Folder for demo.wav and demo.html.")] = Path(),
    port: Annotated[int, Parameter(help="Port on loopback; 0 takes a free one.")] = 0,
) -> int:
    """Hold a spoken conversation with the embedded models, and measure it.

    An agent is served on loopback.  A caller, made of recorded human speech, dials it over a real
    WebSocket: speaks over the greeting, coughs into a reply, has digits read back, and hangs up.  Writes
    demo.wav (left the caller, right what the caller heard) and demo.html (a picture of the session).

    Example: `voicetrio demo --out /tmp`
    """
    make_folder(out)
    return run_command(lambda stop: _demo(stop, as_json=json, folder=out, port=port))


async def _demo(stop: StopRequest, *, as_json: bool, folder: Path, port: int) -> int:
    before = Census.take()
    view = None if as_json else LiveView()
    async with open_models_with_progress(quiet=as_json) as models:
        idle = Census.take()
        call = await hold_call(models, stop, port=port, on_event=None if view is None else view.show)
        left_with_models = await count_left(idle)
        recording = recording_of(call)
        measured = await measure_call(call, recording, models.stt())
    left = await count_left(before)
    result = as_object(recording, measured, (max(left[0], left_with_models[0]), left[1]))
    recording = attrs.evolve(recording, figures=figures(result))
    wav, page = folder / "demo.wav", folder / "demo.html"
    await trio.to_thread.run_sync(write_call, recording, wav, page)
    if as_json:
        print_json(result)
    else:
        show_call(result, recording)
        make_console().print(f"Listen to {wav}, look at {page}.", markup=False)
    return 0

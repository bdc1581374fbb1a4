"""``voicetrio talk``: the embedded agent on any recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import attrs
import numpy as np
import trio
from cyclopts import Parameter

from voicetrio.audio import read_wav, resample_whole
from voicetrio.cli.call.figures import as_object, figures, measure_call, recording_of
from voicetrio.cli.call.live_view import LiveView
from voicetrio.cli.call.output import show_call, write_call
from voicetrio.cli.call.record import CallRecord
from voicetrio.cli.call.session_log import Census, SessionLog, count_left
from voicetrio.cli.console import print_json
from voicetrio.cli.embedded import GREETING, embedded_agent, open_models_with_progress
from voicetrio.cli.files import make_folder
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.conversation import Agent
from voicetrio.events import Event
from voicetrio.frames import AudioFrame
from voicetrio.runtime.session import open_session
from voicetrio.testing.reference_client import AudioArrival
from voicetrio.transports.file import wav_peer
from voicetrio.transports.playback import PlaybackBuffer

__all__ = ["hold_talk", "talk"]

PLAYBACK_BUFFER_S = 0.06


def talk(
    file: Path,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object instead of tables.")] = False,
    out: Annotated[Path | None, Parameter(help="Folder for talk.wav and talk.html; none by default.")] = None,
    greeting: Annotated[bool, Parameter(help="Let the agent greet first.")] = False,
) -> int:
    """Let the embedded agent listen to a WAV file, at the pace of its sound, and answer.

    Any rate, width and number of channels is read.  The session ends when the file does, and the reply in
    hand is played to its end.

    Example: `voicetrio talk question.wav --out /tmp`
    """
    if out is not None:
        make_folder(out)
    return run_command(lambda stop: _talk(stop, file, as_json=json, folder=out, greeting=greeting))


async def _talk(stop: StopRequest, file: Path, *, as_json: bool, folder: Path | None, greeting: bool) -> int:
    wav_peer(file)  # a file that cannot be read is told before anything is loaded
    before = Census.take()
    view = None if as_json else LiveView()
    async with open_models_with_progress(quiet=as_json) as models:
        idle = Census.take()
        agent = embedded_agent(models, greeting=GREETING if greeting else None)
        call = await hold_talk(file, agent, stop, None if view is None else view.show)
        left_with_models = await count_left(idle)
        recording = recording_of(call)
        measured = await measure_call(call, recording, models.stt())
    left = await count_left(before)
    result = as_object(recording, measured, (max(left[0], left_with_models[0]), left[1]))
    recording = attrs.evolve(recording, title=f"voicetrio talk: {file.name}", figures=figures(result))
    if folder is not None:
        await trio.to_thread.run_sync(write_call, recording, folder / "talk.wav", folder / "talk.html")
    if as_json:
        print_json(result)
    else:
        show_call(result, recording)
    return 0


async def hold_talk(
    file: Path,
    agent: Agent,
    stop: StopRequest,
    on_event: Callable[[Event], object] | None = None,
) -> CallRecord:
    """Run one session of ``agent`` on ``file``; what it plays goes through a client's playback buffer.

    A request to stop ends the session gracefully.  Raises AudioError for a file that cannot be read.
    """
    peer = wav_peer(file)
    log = SessionLog(on_event)
    rate = peer.traits.output_rate
    playback = PlaybackBuffer(rate, start_s=PLAYBACK_BUFFER_S, keep_stretches=True)
    arrivals: list[AudioArrival] = []

    def take(frame: AudioFrame) -> None:
        now = trio.current_time()
        arrivals.append(AudioArrival(now, 0, frame.position, frame.samples))
        playback.push(frame.samples, now, position=frame.position)

    start = trio.current_time()
    async with open_session(peer, agent, name="talk") as session:
        with log.of(session), session.playout.tap(take), stop.on_stop(session.end):
            await session.wait_ended()
    end_at = trio.current_time()
    log.end = session.result
    await trio.sleep(PLAYBACK_BUFFER_S)
    finished = trio.current_time()
    playback.advance(finished)
    stretches = playback.take_played()
    heard = np.zeros(round((finished - start) * rate), np.int16)
    for stretch in stretches:
        at = round((stretch.time - start) * rate)
        heard[at : at + stretch.samples.size] = stretch.samples[: max(0, heard.size - at)]
    samples, file_rate = read_wav(file)
    return CallRecord(
        log=log,
        acts=[],
        start=start,
        stop=finished,
        microphone_started=start,
        caller=resample_whole(samples, file_rate, peer.traits.input_rate),
        caller_rate=peer.traits.input_rate,
        heard=heard,
        heard_rate=rate,
        arrivals=arrivals,
        stretches=stretches,
        playback=playback.statistics(),
        audio_after_end=sum(arrival.time > end_at for arrival in arrivals),
    )

"""Speech made faster or slower at the same pitch, by FFmpeg's ``atempo`` (through PyAV).

It overlaps and adds stretches of the waveform where they fit best (WSOLA).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from voicetrio.errors import ConfigError
from voicetrio.frames import Samples

__all__ = ["TEMPOS", "change_tempo"]

TEMPOS = (0.5, 100.0)
"""The slowest and the fastest that one filter can do; slower is done in steps."""


def change_tempo(samples: Samples, rate: int, tempo: float) -> Samples:
    """Return mono int16 ``samples``, shape ``(n,)``, played ``tempo`` times as fast: ``round(n / tempo)``.

    Raises ConfigError for a tempo that is not positive, or over 100.
    """
    if not 0 < tempo <= TEMPOS[1]:
        raise ConfigError(f"a tempo is above 0 and at most {TEMPOS[1]:g}, not {tempo:g}")
    length = round(len(samples) / tempo)
    if tempo == 1 or length == 0:
        return samples[:length]
    import av

    graph = av.filter.Graph()
    last = graph.add_abuffer(format="s16", sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
    for step in _steps(tempo):
        filter_ = graph.add("atempo", f"{step:.6f}")
        last.link_to(filter_)
        last = filter_
    last.link_to(graph.add("abuffersink"))
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = rate
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    pieces = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray().reshape(-1))
        except (av.BlockingIOError, av.EOFError):
            break
    # The filter works in windows of some 50 ms, so its last one ends a little early or late.
    changed = np.zeros(length, np.int16)
    made = np.concatenate(pieces)[:length] if pieces else changed
    changed[: len(made)] = made
    return changed


def _steps(tempo: float) -> list[float]:
    steps = []
    while tempo < TEMPOS[0]:
        steps.append(TEMPOS[0])
        tempo /= TEMPOS[0]
    return [*steps, tempo]

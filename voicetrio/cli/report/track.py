"""Both sides of a recording as one sound that a page can hold."""

from __future__ import annotations

import base64
import io

from voicetrio.cli.report.recording import Recording

__all__ = ["LONGEST_S", "sound_as_data_uri"]

LONGEST_S = 600.0
"""A longer sound would make the page slow to open (10 minutes are about 6 MB)."""
BIT_RATE = 64_000


def sound_as_data_uri(recording: Recording) -> str | None:
    """Return both sides as an MP3 in a ``data:`` URI, left the caller; None for too much or nothing."""
    if not 0 < recording.duration_s <= LONGEST_S or not (len(recording.caller) or len(recording.heard)):
        return None
    # Here and not above: it loads the libraries of FFmpeg.  The stream goes through a container, whose
    # header tells the player how many samples of priming it must leave out, so the times stay true.
    import av

    samples = recording.stereo()
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=recording.heard_rate, layout="stereo")
        stream.bit_rate = BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = recording.heard_rate
        resampler = av.AudioResampler(
            stream.format, stream.layout, stream.rate, stream.codec_context.frame_size
        )
        for piece in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(piece))
    return f"data:audio/mpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"

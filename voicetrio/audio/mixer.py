"""The mixer: speech, a looping bed under it, and one-shots, into one tick's samples.

It has no clock and no task: it makes audio when it is asked for it and never otherwise.  Whoever asks owns
the time.  The signal does not depend on how it is cut into ticks: fades and ducking are counted in
samples.

While speech is given, the bed is *ducked*: it goes down by ``duck_db`` within ``duck_attack_s``, stays there
for ``duck_hold_s`` after the last speech sample (so that it does not pump between two clauses) and comes
back within ``duck_release_s``.  One-shots are not ducked.
"""

from __future__ import annotations

from typing import Final, final

import numpy as np

from voicetrio.audio.fades import GainRamp, Gains
from voicetrio.audio.pcm import FULL_SCALE, FloatSamples, db_to_gain
from voicetrio.errors import ConfigError
from voicetrio.frames import Samples

__all__ = ["GainRamp", "Mixer", "OneShot"]

_SHORTEST_LOOP: Final = 4096
"""Shorter clips are repeated up to this, so that a tick is put together from few pieces."""
_LOWEST: Final = np.float32(-FULL_SCALE)
_HIGHEST: Final = np.float32(FULL_SCALE - 1)


@final
class Mixer:
    """Speech + bed + one-shots, mono, at one rate."""

    def __init__(
        self,
        rate: int,
        *,
        speech_gain_db: float = 0.0,
        duck_db: float = -9.0,
        duck_attack_s: float = 0.08,
        duck_hold_s: float = 0.25,
        duck_release_s: float = 0.5,
    ) -> None:
        """Make a mixer with nothing in it; ``rate`` in hertz, see the module for the ducking."""
        if rate <= 0:
            raise ConfigError(f"a mixer's rate must be positive: {rate}")
        self.rate = rate
        self._speech_gain = db_to_gain(speech_gain_db)
        self._duck = GainRamp(rate)
        self._duck_gain = db_to_gain(duck_db)
        self._duck_attack_s = duck_attack_s
        self._duck_hold = round(duck_hold_s * rate)
        self._duck_release_s = duck_release_s
        self._hold_left = 0
        self._beds: list[_Voice] = []  # the last one is the bed; those before it fade out
        self._one_shots: list[_Voice] = []
        self._sum: FloatSamples = np.zeros(0, np.float32)
        self._scratch: FloatSamples = np.zeros(0, np.float32)

    @property
    def active(self) -> bool:
        """Whether a bed or a one-shot sounds: a tick would not be silent without speech."""
        for voices in (self._beds, self._one_shots):
            for voice in voices:
                if not voice.over:
                    return True
        return False

    def start_bed(self, clip: Samples, gain_db: float = 0.0, fade_s: float = 0.5) -> None:
        """Loop ``clip`` (int16 mono at the mixer's rate, any length) from its beginning, faded in.

        The array is not copied and must not change.  A bed that sounds already is cross-faded.
        """
        voice = _Voice(clip, db_to_gain(gain_db), GainRamp(self.rate, 0.0), loop=True)
        voice.fade.set(1.0, fade_s)
        self.stop_bed(fade_s)
        self._beds.append(voice)

    def stop_bed(self, fade_s: float = 0.5) -> None:
        """Fade the bed out; does nothing if there is none."""
        for voice in self._beds:
            voice.fade.set(0.0, fade_s)

    def play(self, clip: Samples, gain_db: float = 0.0) -> OneShot:
        """Play ``clip`` (int16 mono at the mixer's rate) once, from the next sample on."""
        voice = _Voice(clip, db_to_gain(gain_db), GainRamp(self.rate), loop=False)
        self._one_shots.append(voice)
        return OneShot(voice)

    def mix(self, speech: Samples | None, sample_count: int) -> Samples:
        """Return the next ``sample_count`` samples, int16 mono, saturated.

        ``speech`` is int16 mono of at most as many samples, or None; what it lacks is silence.  With
        nothing to add to it, speech of full length comes back itself, unchanged.
        """
        given = 0 if speech is None else speech.size
        if speech is not None and (speech.ndim != 1 or speech.dtype != np.int16 or given > sample_count):
            raise ConfigError(
                f"speech must be int16 mono of at most {sample_count} samples,"
                f" not {speech.dtype} of shape {speech.shape}"
            )
        duck = self._duck_gains(given, sample_count)
        if self._beds or self._one_shots:
            self._forget_finished()
        if not (self._beds or self._one_shots):
            if speech is None:
                return np.zeros(sample_count, np.int16)
            if given == sample_count and self._speech_gain == 1.0:
                return speech
        total = self._cleared_sum(sample_count)
        if speech is not None:
            np.multiply(speech, self._speech_gain, out=total[:given], dtype=np.float32)
        for voice in self._beds:
            voice.add_to(total, self._scratch, duck)
        for voice in self._one_shots:
            voice.add_to(total, self._scratch, 1.0)
        np.rint(total, out=total)
        # As np.clip, for less than two thirds of what it costs an array of this size.
        np.maximum(total, _LOWEST, out=total)
        np.minimum(total, _HIGHEST, out=total)
        return total.astype(np.int16)

    def skip(self, sample_count: int) -> None:
        """Let bed and one-shots go on by ``sample_count`` samples that nobody will hear.

        For a playout whose clock slipped: the bed is skipped where speech is only delayed.
        """
        for voice in (*self._beds, *self._one_shots):
            voice.skip(sample_count)

    def _duck_gains(self, given: int, sample_count: int) -> float | Gains:
        """Return the bed's gains for a tick that begins with ``given`` samples of speech."""
        if given == sample_count and self._duck.settled and self._duck.target == self._duck_gain:
            # In the midst of speech, which is nearly always.
            self._hold_left = self._duck_hold
            return self._duck_gain
        parts: list[tuple[int, float | Gains]] = []
        if given:
            self._duck.set(self._duck_gain, self._duck_attack_s)
            self._hold_left = self._duck_hold
            parts.append((given, self._duck.take(given)))
        held = min(sample_count - given, self._hold_left)
        if held:
            self._hold_left -= held
            parts.append((held, self._duck.take(held)))
        free = sample_count - given - held
        if free:
            self._duck.set(1.0, self._duck_release_s)
            parts.append((free, self._duck.take(free)))
        if len(parts) <= 1:
            return parts[0][1] if parts else 1.0
        return np.concatenate([np.broadcast_to(np.float32(gains), count) for count, gains in parts])

    def _cleared_sum(self, sample_count: int) -> FloatSamples:
        if self._sum.size < sample_count:
            self._sum = np.empty(sample_count, np.float32)
            self._scratch = np.empty(sample_count, np.float32)
        total = self._sum[:sample_count]
        total.fill(0.0)
        return total

    def _forget_finished(self) -> None:
        for voices in (self._beds, self._one_shots):
            for voice in voices:
                if voice.over:
                    voices[:] = [voice for voice in voices if not voice.over]
                    break


@final
class OneShot:
    """A sound that plays once; made by ``Mixer.play``."""

    __slots__ = ("_voice",)

    def __init__(self, voice: _Voice) -> None:
        self._voice = voice

    @property
    def done(self) -> bool:
        """Whether its last sample was mixed, or it was stopped and has faded out."""
        return self._voice.over

    def stop(self, fade_s: float = 0.02) -> None:
        """Fade it out within ``fade_s`` seconds; does nothing when it is done."""
        self._voice.fade.set(0.0, fade_s)


@final
class _Voice:
    """One clip that is being played."""

    __slots__ = ("_clip", "_factors", "_gain", "_loop", "_position", "fade")

    def __init__(self, clip: Samples, gain: float, fade: GainRamp, *, loop: bool) -> None:
        if clip.ndim != 1 or clip.dtype != np.int16:
            raise ConfigError(f"a clip must be int16 mono, not {clip.dtype} of shape {clip.shape}")
        if clip.size == 0:
            raise ConfigError("a clip must have at least one sample")
        if loop and clip.size < _SHORTEST_LOOP:
            clip = np.tile(clip, -(-_SHORTEST_LOOP // clip.size))
        self._clip = clip
        self._gain = gain
        self._factors: dict[tuple[float, float], np.float32] = {}
        self._loop = loop
        self._position = 0
        self.fade = fade

    @property
    def over(self) -> bool:
        """Whether nothing of it will sound any more."""
        return self._position >= self._clip.size or (self.fade.settled and self.fade.target == 0.0)

    def add_to(self, total: FloatSamples, scratch: FloatSamples, duck: float | Gains) -> None:
        """Add the next ``total.size`` samples to ``total``, times ``duck``; ``scratch`` is overwritten."""
        gains = self._gains(total.size, duck)
        filled = 0
        while filled < total.size:
            piece = self._clip[self._position : self._position + total.size - filled]
            stop = filled + piece.size
            part = gains if isinstance(gains, np.float32) else gains[filled:stop]
            scaled = np.multiply(piece, part, out=scratch[: piece.size], dtype=np.float32)
            np.add(total[filled:stop], scaled, out=total[filled:stop])
            filled = stop
            if not self._move(piece.size):
                return

    def _gains(self, sample_count: int, duck: float | Gains) -> np.float32 | Gains:
        """Return the factors of the next samples, one number where all are the same."""
        fade = self.fade.take(sample_count)
        # float32 throughout, also where both are numbers: else the result would depend on the ticks.
        if not (isinstance(fade, float) and isinstance(duck, float)):
            faded = np.float32(self._gain) * np.asarray(fade, np.float32)
            moving: Gains = faded * np.asarray(duck, np.float32)
            return moving
        # Between fades it is the same few numbers again and again.
        factor = self._factors.get((fade, duck))
        if factor is None:
            factor = np.float32(self._gain) * np.float32(fade) * np.float32(duck)
            self._factors = {(fade, duck): factor}
        return factor

    def skip(self, sample_count: int) -> None:
        """Move on without sound."""
        self.fade.advance(sample_count)
        self._move(sample_count)

    def _move(self, sample_count: int) -> bool:
        """Move the position on; return whether there is more to play."""
        self._position += sample_count
        if self._loop:
            self._position %= self._clip.size
        return self._position < self._clip.size

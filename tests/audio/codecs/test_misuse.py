"""What crashed the speech server that we learn from: every wrong use raises, none reaches the library."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.audio.codecs.signals import HEADERLESS, RATES, encode, tone
from voicetrio.audio.codecs import FORMATS, open_decoder, open_encoder
from voicetrio.audio.codecs.base import EncoderBase
from voicetrio.errors import CodecMisuse

every_format = pytest.mark.parametrize("format", FORMATS)


@every_format
@pytest.mark.parametrize("ending", ["finish", "close"])
def test_an_encoder_takes_nothing_after_its_end(format, ending):
    encoder = open_encoder(format, RATES[format])
    encoder.encode(tone(480, RATES[format]))
    getattr(encoder, ending)()
    for late in (lambda: encoder.encode(tone(480, RATES[format])), encoder.finish):
        with pytest.raises(CodecMisuse, match="came too late"):
            late()
    encoder.close()
    encoder.close()


@every_format
@pytest.mark.parametrize("ending", ["finish", "close"])
def test_a_decoder_takes_nothing_after_its_end(format, ending):
    body = encode(format, tone(4800, RATES[format]), RATES[format])
    decoder = open_decoder(format, rate=RATES[format] if format in HEADERLESS else None)
    decoder.decode(body)
    getattr(decoder, ending)()
    for late in (lambda: decoder.decode(body), decoder.finish):
        with pytest.raises(CodecMisuse, match="came too late"):
            late()
    decoder.close()
    decoder.close()


@every_format
def test_an_encoder_may_be_closed_at_any_time(format):
    open_encoder(format, RATES[format]).close()
    encoder = open_encoder(format, RATES[format])
    encoder.encode(tone(100, RATES[format]))
    encoder.close()


class SlowEncoder(EncoderBase):
    """Stays in its call until it is let go; counts who is inside."""

    def __init__(self) -> None:
        super().__init__(FORMATS["mp3"], 24000)
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.released_in_call: bool | None = None
        self.is_inside = False

    def _encode(self, samples: np.ndarray) -> bytes:
        self.is_inside = True
        self.entered.set()
        assert self.let_go.wait(30)
        self.is_inside = False
        return b"encoded"

    def _finish(self) -> bytes:
        return b""

    def _release(self) -> None:
        self.released_in_call = self.is_inside


def test_a_second_call_from_another_thread_is_refused():
    encoder = SlowEncoder()
    results = []
    first = threading.Thread(target=lambda: results.append(encoder.encode(tone(10, 24000))))
    first.start()
    assert encoder.entered.wait(30)
    with pytest.raises(CodecMisuse, match="is in a call already"):
        encoder.encode(tone(10, 24000))
    with pytest.raises(CodecMisuse, match="is in a call already"):
        encoder.finish()
    encoder.let_go.set()
    first.join(30)
    assert results == [b"encoded"]


def test_close_waits_for_the_call_in_flight():
    encoder = SlowEncoder()
    call = threading.Thread(target=lambda: encoder.encode(tone(10, 24000)))
    call.start()
    assert encoder.entered.wait(30)
    closing = threading.Thread(target=encoder.close)
    closing.start()
    assert encoder.released_in_call is None
    encoder.let_go.set()
    call.join(30)
    closing.join(30)
    assert encoder.released_in_call is False


@pytest.mark.parametrize("format", ["mp3", "opus", "flac", "aac", "g722"])
def test_many_threads_on_one_encoder_end_in_errors_and_not_in_a_crash(format):
    encoder = open_encoder(format, RATES[format])
    outcomes: list[str] = []

    def use() -> None:
        for _ in range(30):
            try:
                encoder.encode(tone(4000, RATES[format]))
                outcomes.append("encoded")
            except CodecMisuse:
                outcomes.append("refused")

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    encoder.close()
    assert len(outcomes) == 120
    assert "encoded" in outcomes


def test_a_call_that_failed_spends_the_codec():
    class Failing(SlowEncoder):
        def _encode(self, samples: np.ndarray) -> bytes:
            raise RuntimeError("the library failed")

    encoder = Failing()
    with pytest.raises(RuntimeError):
        encoder.encode(tone(10, 24000))
    with pytest.raises(CodecMisuse, match="is failed"):
        encoder.encode(tone(10, 24000))
    encoder.close()
    assert encoder.released_in_call is False

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest

from voicetrio.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


@pytest.fixture
def audioop():
    """CPython's own G.711, which left the standard library in 3.13."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop")


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def test_mulaw_is_known_by_its_hashes():
    assert digest(mulaw_encode(EVERY_SAMPLE)) == "81d633c9e6972a18"
    assert digest(mulaw_decode(EVERY_CODE).tobytes()) == "3dab54339e520bb2"


def test_alaw_is_known_by_its_hashes():
    assert digest(alaw_encode(EVERY_SAMPLE)) == "38488f6fd710f468"
    assert digest(alaw_decode(EVERY_CODE).tobytes()) == "e04788d110e58ff8"


def test_mulaw_equals_audioop_on_every_input(audioop):
    assert mulaw_encode(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2)
    assert mulaw_decode(EVERY_CODE).tobytes() == audioop.ulaw2lin(EVERY_CODE, 2)


def test_alaw_equals_audioop_on_every_input(audioop):
    assert alaw_encode(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE.tobytes(), 2)
    assert alaw_decode(EVERY_CODE).tobytes() == audioop.alaw2lin(EVERY_CODE, 2)


def test_a_decoded_code_encodes_to_itself():
    recoded = mulaw_encode(mulaw_decode(EVERY_CODE))
    # 0x7F is a second, negative zero: it decodes to 0 like 0xFF.
    assert [code for code in range(256) if recoded[code] != code] == [0x7F]
    assert alaw_encode(alaw_decode(EVERY_CODE)) == EVERY_CODE


def test_views_of_any_layout_are_taken():
    assert mulaw_encode(EVERY_SAMPLE[::7]) == mulaw_encode(EVERY_SAMPLE[::7].copy())
    read_only = np.frombuffer(EVERY_SAMPLE.tobytes(), np.int16)
    assert alaw_encode(read_only) == alaw_encode(EVERY_SAMPLE)
    assert mulaw_decode(memoryview(EVERY_CODE)[3:9]).tolist() == mulaw_decode(EVERY_CODE[3:9]).tolist()
    assert mulaw_encode(EVERY_SAMPLE[:0]) == b""
    assert alaw_decode(b"").size == 0

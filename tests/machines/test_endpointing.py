import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.endpointing import TurnSettings, wait_after

SETTINGS = TurnSettings()


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("Go forward ten meters.", 0.7),
        ("Go forward ten meters", 0.7),
        ("What is twelve times seven?", 0.7),
        ("I think so.", 0.7),
        ("Two nine three", 1.2),
        ("29340.", 1.2),
        ("My number is 555 0199.", 1.2),
        ("Seven.", 1.2),
        ("I would like to go to Paris and", 1.6),
        ("I would like to go to Paris and.", 1.6),
        ("Well, um", 1.6),
        ("If it rains,", 1.6),
        ("Let me see...", 1.6),
        ("What is it from?", 0.7),
    ],
)
def test_the_wait_depends_on_how_the_text_ends(text, wait_s):
    assert wait_after(text, SETTINGS) == wait_s


@pytest.mark.parametrize(("complete", "wait_s"), [(1.0, 0.5), (0.5, 0.5), (0.25, 1.5), (0.0, 2.5)])
def test_a_turn_model_shortens_or_lengthens_the_wait(complete, wait_s):
    assert wait_after("Go forward ten meters.", SETTINGS, complete=complete) == pytest.approx(wait_s)


def test_a_turn_model_does_not_shorten_the_wait_for_digits():
    assert wait_after("two nine three", SETTINGS, complete=1.0) == 1.2


@given(st.text(max_size=40), st.none() | st.floats(0, 1))
def test_the_wait_stays_within_its_bounds(text, complete):
    wait_s = wait_after(text, SETTINGS, complete=complete)
    least = SETTINGS.min_wait_s if complete is None else SETTINGS.min_wait_with_model_s
    assert least <= wait_s <= SETTINGS.max_wait_s


def test_the_longest_wait_bounds_every_other():
    assert wait_after("two nine three", TurnSettings(max_wait_s=1.0)) == 1.0

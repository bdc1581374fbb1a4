from __future__ import annotations

import functools
from collections import deque
from typing import NamedTuple

import attrs
import numpy as np
import pytest

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.runtime.transforms import Chain, Transform, transform

ONE = TextFrame("one")


class Pairs:
    """Joins texts two by two."""

    def __init__(self):
        self.held = ""

    def __call__(self, frame):
        if not self.held:
            self.held = frame.text
            return None
        joined, self.held = self.held + frame.text, ""
        return TextFrame(joined)

    def flush(self):
        return TextFrame(self.held) if self.held else None

    def reset(self):
        self.held = ""


class Point(NamedTuple):
    """A frame that can be iterated over."""

    x: int
    y: int


@attrs.frozen
class Words:
    """An attrs frame that can be iterated over."""

    words: tuple[str, ...]

    def __iter__(self):
        return iter(self.words)


def chain(*functions) -> Chain:
    return Chain([transform(function) for function in functions], "pipeline test")


def results(made: tuple[bool, object]) -> list:
    one, result = made
    return [result] if one else list(result)


def upper(frame):
    """Shout."""
    return TextFrame(frame.text.upper())


def letters(frame):
    return [TextFrame(letter) for letter in frame.text]


def no_vowels(frame):
    return None if frame.text in "aeiou" else frame


def test_a_transform_is_still_its_function():
    marked = transform(upper)
    assert isinstance(marked, Transform)
    assert marked(ONE) == TextFrame("ONE")
    assert (marked.name, marked.__doc__) == ("upper", "Shout.")
    assert repr(marked) == "<transform upper>"
    assert transform(marked) is marked
    assert marked.flush() is None
    marked.reset()
    assert not marked.has_state
    assert transform(Pairs()).has_state


def test_an_object_may_flush_and_reset():
    marked = transform(Pairs())
    assert marked(ONE) is None
    assert marked.flush() == ONE
    marked.reset()
    assert marked.flush() is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Pairs, r"transform\(Pairs\(...\)\)"),
        (3, "cannot be called"),
    ],
)
def test_what_cannot_be_a_transform_is_refused(wrong, why):
    with pytest.raises(ConfigError, match=why):
        transform(wrong)


def test_an_async_function_is_no_transform():
    async def slow(frame): ...

    class Slow:
        async def __call__(self, frame): ...

    for wrong in (slow, Slow(), functools.partial(slow)):
        with pytest.raises(ConfigError, match="as a stage"):
            transform(wrong)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (None, []),
        ([], []),
        (ONE, [ONE]),
        (AudioFrame.silence(1, 8000), [AudioFrame.silence(1, 8000)]),
        ([ONE, ONE], [ONE, ONE]),
        ((ONE,), [ONE]),
        (deque([ONE]), [ONE]),
        (Point(1, 2), [Point(1, 2)]),
        (Words(("a", "b")), [Words(("a", "b"))]),
        ([Point(1, 2)], [Point(1, 2)]),
    ],
)
def test_none_one_or_several(made, expected):
    assert results(chain(lambda frame: made).apply(TextFrame("in"))) == expected


def test_a_generator_is_several():
    def twice(frame):
        yield frame
        yield frame

    assert results(chain(twice, upper).apply(ONE)) == [TextFrame("ONE")] * 2


def test_what_has_the_type_of_its_input_is_one_frame():
    assert results(chain(lambda n: n + 1, lambda n: n * 2).apply(1)) == [4]
    assert results(chain(str.upper).apply("one")) == ["ONE"]
    assert results(chain(lambda n: [n, n]).apply(1)) == [1, 1]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("text", "returned str 'text'"),
        (b"pcm", "returned bytes"),
        (3, "returned int 3"),
        (True, "returned bool"),
        ({"a": 1}, "returned dict"),
        (np.zeros(100), "returned ndarray.*\\.\\.\\."),
        (np.float64(1), "returned float64"),
        (TextFrame, "returned type"),
        (["a"], "holds str 'a'"),
        ([None], "holds NoneType"),
        ([ONE, 2], "holds int 2"),
    ],
)
def test_what_is_no_frame_is_an_error_that_names_the_transform(made, why):
    def wrong(frame):
        return made

    broken = chain(upper, wrong, upper)
    with pytest.raises(TypeError, match=why) as caught:
        broken.apply(ONE)
    assert caught.value.__notes__ == ["in transform wrong of pipeline test"]
    assert broken.failure is caught.value


def test_an_awaitable_is_an_error_and_leaves_no_warning():
    async def later():
        return ONE

    with pytest.raises(TypeError, match="without await"):
        chain(lambda frame: later()).apply(ONE)

    class Awaitable:
        def __await__(self):
            yield

    with pytest.raises(TypeError, match="without await"):
        chain(lambda frame: Awaitable()).apply(ONE)


def test_an_exception_names_the_transform_wherever_it_comes_from():
    def picky(frame):
        if frame.text == "e":
            raise ValueError("no e")
        return frame

    def lazily(frame):
        yield frame
        raise ValueError("later")

    class BadFlush(Pairs):
        def flush(self):
            raise ValueError("flush")

    class BadReset(Pairs):
        def reset(self):
            raise ValueError("reset")

    for broken, use, name in (
        (chain(letters, picky, upper), lambda it: it.apply(ONE), "picky"),
        (chain(upper, lazily), lambda it: it.apply(ONE), "lazily"),
        (chain(upper, BadFlush()), Chain.flush, "BadFlush"),
        (chain(upper, BadReset()), Chain.reset, "BadReset"),
    ):
        with pytest.raises(ValueError, match=r"no e|later|flush|reset") as caught:
            use(broken)
        assert caught.value.__notes__ == [f"in transform {name} of pipeline test"]
        assert broken.failure is caught.value


def test_several_results_pass_through_the_rest_in_order():
    made = chain(letters, no_vowels, upper).apply(TextFrame("speech"))
    assert results(made) == [TextFrame(letter) for letter in "SPCH"]


def test_several_results_that_come_to_one_or_none():
    assert results(chain(letters, no_vowels).apply(TextFrame("at"))) == [TextFrame("t")]
    assert results(chain(letters, no_vowels, upper).apply(TextFrame("aei"))) == []


def test_what_one_flushes_passes_through_those_after_it():
    pipe = chain(Pairs(), letters, Pairs(), upper)
    assert results(pipe.apply(TextFrame("ab"))) == []
    assert results(pipe.apply(TextFrame("c"))) == [TextFrame("AB")]
    assert results(pipe.apply(TextFrame("d"))) == []
    assert pipe.flush() == [TextFrame("CD")]
    assert pipe.names == ("Pairs", "letters", "Pairs", "upper")


def test_reset_reaches_every_transform():
    pairs = [Pairs(), Pairs()]
    pipe = chain(*pairs)
    pipe.apply(ONE)
    pairs[1].held = "x"
    pipe.reset()
    assert pipe.flush() == []

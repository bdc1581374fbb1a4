"""Reading a text with its markup."""

from __future__ import annotations

from voicetrio.services.speech_text.script import Item, Placeholders, Say, Script, read_inline_phonemes
from voicetrio.services.speech_text.ssml import read_ssml
from voicetrio.services.speech_text.tags import read_tags

__all__ = ["count_words", "read_script"]


def read_script(text: str, *, ssml: bool = False, tags: bool = False) -> Script:
    """Return what ``text`` says.

    Args:
        text: plain, or with ``[word](/phonemes/)`` in it.
        ssml: it is a document of SSML instead.
        tags: heed ``[pause:1s]``, ``[rate:1.2]`` and ``[voice:name]``; otherwise they are said like any text.

    Raises MarkupError.
    """
    placeholders = Placeholders()
    text = placeholders.clean(text)
    items: list[Item]
    if ssml:
        items = read_ssml(text, placeholders)
    else:
        text = read_inline_phonemes(text, placeholders)
        items = read_tags(text) if tags else [Say(text)]
    return Script(tuple(items), placeholders.pronunciations)


def count_words(script: Script) -> int:
    """Return how many written words ``script`` has."""
    return sum(len(item.text.split()) for item in script.items if isinstance(item, Say))

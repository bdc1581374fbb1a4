"""Writing HTML: text is escaped unless it is HTML already."""

from __future__ import annotations

from html import escape

__all__ = ["Html", "join", "tag"]


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | bool | None) -> Html:
    """Return an element.

    Args:
        name: the element's name.
        children: what is in it; a plain str is escaped.
        attributes: ``class_`` becomes ``class``, ``data_time`` becomes ``data-time``; None and False are left
            out, and True stands without a value.
    """
    written = "".join(
        f" {key}" if value is True else f' {key}="{escape(str(value))}"'
        for key, value in ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
        if value is not None and value is not False
    )
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Return the children in a row; a plain str is escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))

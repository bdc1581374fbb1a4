"""What is secret in a request, kept out of texts and logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final, final

__all__ = ["HIDDEN", "HideSecrets", "hide", "is_secret", "redacted"]

HIDDEN: Final = "[hidden]"
_SECRET: Final = r"[\w-]*(?:auth|cookie|token|secret|key|resume|password)[\w-]*"
_NAME: Final = re.compile(_SECRET, re.IGNORECASE)
_IN_TEXT: Final = (
    (re.compile(rf"(?im)^([<>] {_SECRET}: ).*$"), rf"\1{HIDDEN}"),  # a header, as it is logged
    (re.compile(rf"(?i)([?&]{_SECRET}=)[^&\s\"']*"), rf"\1{HIDDEN}"),  # a field of a query
    (re.compile(rf"(?i)(\"{_SECRET}\":\s*\")[^\"]*"), rf"\1{HIDDEN}"),  # a field of JSON
    (re.compile(r"\bvt1\.[\w.-]*"), HIDDEN),  # a token of our own, wherever it stands
)


def is_secret(name: str) -> bool:
    """Tell whether the value of a header or a query's field called ``name`` is nobody else's business."""
    return _NAME.fullmatch(name) is not None


def redacted(fields: Mapping[str, str]) -> str:
    """Return the ``repr`` of ``fields`` with secret values hidden."""
    return repr({name: HIDDEN if is_secret(name) else value for name, value in fields.items()})


def hide(text: str) -> str:
    """Return ``text`` without the secrets that can be recognised in it."""
    for pattern, shown in _IN_TEXT:
        text = pattern.sub(shown, text)
    return text


@final
class HideSecrets(logging.Filter):
    """Hides secrets in the records of a logger that writes whole requests and frames at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, its secrets replaced."""
        record.msg, record.args = hide(record.getMessage()), None
        return True

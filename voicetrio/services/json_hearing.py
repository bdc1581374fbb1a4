"""The wire of a recogniser whose answers are JSON objects, and whose audio is binary: most vendors' is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from voicetrio.connection.websocket.socket import Message
from voicetrio.services.credentials import Secret
from voicetrio.services.hearing_wire import HearingAnswer
from voicetrio.services.wires import read_object

__all__ = ["JsonHearing"]


class JsonHearing(ABC):
    """A HearingWire, but for what is asked and what the answers mean.

    Args:
        key: hidden in errors.
    """

    service: ClassVar[str]
    """For errors."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def opened(self) -> None:  # noqa: B027  # most wires keep nothing
        """A new stream begins."""

    def audio(self, pcm: bytes) -> Message:
        """Return a binary message."""
        return pcm

    @abstractmethod
    def finalize(self) -> Message | None:
        """See ``HearingWire``."""

    @abstractmethod
    def finish(self) -> Message | None:
        """See ``HearingWire``."""

    def read(self, message: Message) -> Sequence[HearingAnswer]:
        """Return what ``message`` means; raises ServiceError for what is not of the wire."""
        return read_object(self.service, message, self.take)

    @abstractmethod
    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message of ``fields`` means.

        Raises one of ``MALFORMED`` for what it does not hold, ServiceError for what ends the stream.
        """

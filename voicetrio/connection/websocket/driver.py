"""The rules of an open WebSocket, without I/O: bytes in, messages out, and the other way round.

It drives the ``Protocol`` of the websockets package (RFC 6455, its section 5 for frames and 7 for closing)
and adds what that leaves to its user:

1. Fragments are joined into messages; the limit on their sum is checked when a header arrives (1009), the
   number of pieces is limited too.
2. Text is UTF-8, or the connection fails (1007).
3. Of several pings only the last needs a pong (section 5.5.3), so that a flood of pings costs one frame.
4. What waits to be written beside messages is bounded.
5. How it ended is one value.

A server's plain frames, which are nearly all, do not go through the library's parser: see ``framing``.  The
driver follows every frame's edges, so the library is given whole frames, or the beginning of one and then
its rest.
"""

from __future__ import annotations

from typing import final

from websockets.exceptions import PayloadTooBig, WebSocketException
from websockets.frames import BINARY, CONT, PONG, TEXT, Frame, Opcode
from websockets.protocol import CLOSED, OPEN, SEND_EOF, SERVER, Protocol

from voicetrio.connection.websocket.framing import (
    PLAIN_BINARY,
    PLAIN_TEXT,
    payload_span,
    plain_head,
    plain_message,
)
from voicetrio.connection.websocket.socket import Message, SocketClosed, SocketLimits
from voicetrio.errors import LocalProtocolError

__all__ = ["Driver"]

PONG_HEAD = 0x8A
"""First byte of an unfragmented pong frame: FIN and opcode 10."""
MAX_PENDING_BYTES = 1 << 16


@final
class Driver:
    """One open connection's state; ``protocol`` has finished its opening handshake.

    A server gives ``early`` what came behind the request; a client's protocol has it already.
    """

    def __init__(self, protocol: Protocol, limits: SocketLimits, *, early: bytes = b"") -> None:
        self._protocol = protocol
        self._limits = limits
        self._max_bytes = limits.max_message_bytes
        self._is_server = protocol.side is SERVER
        self._held = early
        """A frame's head, as far as it has come."""
        self._owed = 0
        """Bytes of a frame that the library has the beginning of."""
        self._pong = b""
        self._pending = bytearray()
        self._eof = False
        self.has_output = False
        """True when ``take_output`` has something to give."""
        self._kind: Opcode | None = None
        self._fragments: list[bytes] = []
        self._ping_count = 0
        self._violation: str | None = None
        self.pong_count = 0
        """The highest number of a ping of ours that was answered."""
        self.is_open = True
        """True until a close frame is sent or received."""
        self.is_over = False
        """True when the peer has said all it may say: it closed, or broke a rule."""
        self._note_state()

    @property
    def may_drop(self) -> bool:
        """True when our close was answered and we accepted: it is ours to drop the socket (section 7.1.1)."""
        return self._is_server and self._protocol.close_rcvd_then_sent is False

    def receive(self, data: bytes) -> list[Message]:
        """Take bytes from the network, ``b""`` at its end; return the messages that are complete now."""
        if data:
            return self._split(data) if self._is_server else self._parse(data)
        messages = self._parse(self._held) if self._held else []
        self._held = b""
        self._protocol.receive_eof()
        return messages + self._take_parsed()

    def take_messages(self) -> list[Message]:
        """Return the messages that came with the bytes of the opening handshake."""
        early, self._held = self._held, b""
        return self._split(early) if early else self._take_parsed()

    def _split(self, data: bytes) -> list[Message]:
        if self._held:
            data, self._held = self._held + data, b""
        messages: list[Message] = []
        at, size = 0, len(data)
        if self._owed:
            at = min(self._owed, size)
            self._owed -= at
            messages = self._parse(data[:at])
        while at < size:
            if self.is_open and not self._fragments:
                plain = plain_message(data, at, self._max_bytes)
                if plain is not None:
                    message, at = plain
                    messages.append(message)
                    continue
            span = payload_span(data, at)
            if span is None:
                self._held = data[at:]
                break
            _, end = span
            if end > size:
                self._owed = end - size
                return messages + self._parse(data[at:])
            messages += self._parse(data[at:end])
            at = end
        return messages

    def _parse(self, data: bytes) -> list[Message]:
        self._protocol.receive_data(data)
        return self._take_parsed()

    def _take_parsed(self) -> list[Message]:
        self._note_state()  # each of the frames is judged by what all of them make of it
        messages: list[Message] = []
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and self._violation is None:
                message = self._take_frame(frame)
                if message is not None:
                    messages.append(message)
        self._collect()
        return messages

    def send(self, message: Message | memoryview) -> bytes:
        """Return the bytes of one message, preceded by what had to be written anyway.

        Raises LocalProtocolError once the connection is closing.
        """
        if not self.is_open:
            raise LocalProtocolError("the connection is closing: no message can be sent")
        before = self.take_output()[0] if self.has_output else b""
        if self._is_server:
            if isinstance(message, str):
                payload: bytes | memoryview = message.encode()
                return before + plain_head(PLAIN_TEXT, len(payload)) + payload
            return before + plain_head(PLAIN_BINARY, len(message)) + message
        self._serialize(message)
        return b"".join([before, *self._protocol.data_to_send()])

    def queue(self, message: Message) -> bool:
        """Let ``message`` be written with the next output; False if there is no room, or it is closing."""
        if not self.is_open or len(self._pending) + len(message) > MAX_PENDING_BYTES:
            return False
        self._serialize(message)
        self._collect()
        return True

    def ping(self) -> int:
        """Ask for a sign of life; return the ping's number, which ``pong_count`` reaches at its answer."""
        self._ping_count += 1
        self._protocol.send_ping(self._ping_count.to_bytes(4, "big"))
        self._collect()
        return self._ping_count

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; does nothing when it has begun.  ``reason`` is cut at 123 bytes."""
        if self.is_open:
            short = reason.encode()[:123].decode(errors="ignore")
            try:
                self._protocol.send_close(code, short)
            except WebSocketException as error:
                raise LocalProtocolError(f"{code} cannot be sent as a close code") from error
            self._collect()

    def fail(self, code: int, reason: str) -> None:
        """End the connection because the peer broke a rule; what it sends from now on is discarded."""
        if self._violation is None and self.is_open:
            self._violation = reason
            self._protocol.fail(code, reason.encode()[:123].decode(errors="ignore"))
            self._collect()

    def take_output(self) -> tuple[bytes, bool]:
        """Return what has to be written, and whether the sending side ends after it."""
        output, eof = self._pong + self._pending, self._eof
        self._pong, self._pending, self._eof = b"", bytearray(), False
        self.has_output = False
        return bytes(output), eof

    def outcome(self) -> SocketClosed:
        """Tell how it ended, as far as the close frames say."""
        protocol = self._protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        if received is not None and protocol.close_rcvd_then_sent is not False:
            # 1005 stands for a close frame without a code.
            return SocketClosed(None if received.code == 1005 else received.code, received.reason, "peer")
        if sent is not None:
            return SocketClosed(sent.code, self._violation or sent.reason, "us")
        return SocketClosed(None, "the connection broke without a goodbye", "network")

    # --- inside ---

    def _take_frame(self, frame: Frame) -> Message | None:
        if frame.opcode is PONG:
            # A pong that we did not ask for is allowed (section 5.5.3) and means nothing.
            number = int.from_bytes(frame.data, "big") if len(frame.data) == 4 else 0
            if self.pong_count < number <= self._ping_count:
                self.pong_count = number
            return None
        if frame.opcode is TEXT or frame.opcode is BINARY:
            self._kind = frame.opcode
        elif frame.opcode is not CONT:
            return None
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            if len(self._fragments) >= self._limits.max_fragments:
                self._fragments.clear()
                self.fail(1009, f"a message has more than {self._limits.max_fragments} fragments")
            return None
        payload = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        self._fragments.clear()
        if self._kind is BINARY:
            return payload
        try:
            return payload.decode()
        except UnicodeDecodeError:
            self.fail(1007, "a text message is not UTF-8")
            return None

    def _serialize(self, message: Message | memoryview) -> None:
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)

    def _collect(self) -> None:
        for write in self._protocol.data_to_send():
            if write == SEND_EOF:
                self._eof = True
            elif write[0] == PONG_HEAD:
                self._pong = write
            else:
                self._pending += write
            self.has_output = True
        error = self._protocol.parser_exc
        if self._violation is None and isinstance(error, PayloadTooBig):
            self._violation = f"a message is longer than {self._limits.max_message_bytes} bytes"
        self._note_state()

    def _note_state(self) -> None:
        """Take over what the library says; it is asked for with every frame, and changes hardly ever."""
        protocol = self._protocol
        self.is_open = protocol.state is OPEN
        self.is_over = (
            protocol.close_rcvd is not None
            or protocol.parser_exc is not None
            or self._violation is not None
            or protocol.state is CLOSED
        )

"""The load of ``sessions.py``: callers with a playback buffer, by the standard library only.

    python sessions_load.py CORE

Reads commands from standard input, a line of JSON each, and answers with a line of JSON. ``call`` opens
sessions, ``watch`` counts for some seconds, ``hang_up`` closes everything. Each caller sends 20 ms of audio
every 20 ms, evenly spread over the tick, and plays what comes: it begins when 60 ms are buffered, and an
*underrun* is audio that comes after the buffer ran dry. A silence of more than half a second is meant, and
is no underrun.

It must cost less than what it measures, so it knows no library: frames are masked with a key of zeros, which
leaves the payload as it is, and its loop is one epoll.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import socket
import sys
import time
import wave

TICK_S = 0.02
REPORT_TICKS = 5
BUFFER_S = 0.06
PAUSE_S = 0.5
LATE_S = 0.01
"""A frame sent so much after its time means that the load itself was too slow."""


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return a WebSocket frame as a client must send it, with a masking key of zeros."""
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | min(size, 126)])
    if size >= 126:
        head += size.to_bytes(2, "big")
    return head + bytes(4) + payload


def varint(number: int) -> bytes:
    """Return a protobuf varint."""
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return value, at


class NativeWire:
    """docs/wire.md."""

    def __init__(self) -> None:
        self.epoch = self.position = 0

    @staticmethod
    def encode(pcm: bytes) -> bytes:
        return client_frame(2, pcm)

    def samples(self, payload: bytes) -> int:
        """Return how many samples a binary message holds."""
        count = len(payload) // 2
        self.position += count
        return count

    def take_text(self, payload: bytes) -> bool:
        """Take a text message; True if it drops what is buffered."""
        if payload.startswith((b'{"type": "clear"', b'{"type":"clear"')):
            fields = json.loads(payload)
            self.epoch, self.position = fields["epoch"], fields["position"]
            return True
        if payload.startswith((b'{"type": "skip"', b'{"type":"skip"')):
            self.position = json.loads(payload)["position"]
        return False

    def report(self, unplayed: int) -> bytes | None:
        """Return the message that tells what was played."""
        text = f'{{"type":"played","epoch":{self.epoch},"position":{max(0, self.position - unplayed)}}}'
        return client_frame(1, text.encode())


class ProtobufWire:
    """Pipecat's: every message is a protobuf ``Frame`` with an ``AudioRawFrame`` in field 2."""

    @staticmethod
    def encode(pcm: bytes) -> bytes:
        audio = b"\x1a" + varint(len(pcm)) + pcm + b"\x20" + varint(16000) + b"\x28\x01"
        return client_frame(2, b"\x12" + varint(len(audio)) + audio)

    @staticmethod
    def samples(payload: bytes) -> int:
        if not payload.startswith(b"\x12"):
            return 0
        _, at = read_varint(payload, 1)
        while at < len(payload):
            tag = payload[at]
            value, at = read_varint(payload, at + 1)
            if tag == 0x1A:
                return value // 2
            if tag & 7 == 2:
                at += value
        return 0

    @staticmethod
    def take_text(_payload: bytes) -> bool:
        return False

    @staticmethod
    def report(_unplayed: int) -> bytes | None:
        return None


WIRES = {"native": NativeWire, "protobuf": ProtobufWire}


class Caller:
    """One session, seen from the client."""

    def __init__(self, port: int, path: str, wire, rate: int) -> None:
        self.wire = wire
        self.rate = rate
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the server closed during the handshake")
            self.data += more
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.decode(errors="replace"))
        self.socket.setblocking(False)
        self.ticks = 0
        self.next_at = 0.0
        self.offset = 0
        self.dry_at = 0.0
        self.playing = False
        self.waiting_s = 0.0
        self.is_over = False
        self.reset()

    def reset(self) -> None:
        self.underruns = 0
        self.gap_s = 0.0
        self.heard = 0
        self.unsent = 0

    def send(self, frame: bytes) -> None:
        try:
            sent = self.socket.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_over = True
            return
        if sent != len(frame):
            # The server takes nothing any more: it is far beyond its limit.
            self.unsent += 1
            self.is_over = True

    def receive(self, now: float) -> None:
        try:
            more = self.socket.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self.is_over = True
            return
        data = self.data + more if self.data else more
        at, size = 0, len(data)
        while size - at >= 2:
            opcode, length, head = data[at] & 15, data[at + 1], 2
            if length == 126:
                if size - at < 4:
                    break
                length, head = data[at + 2] << 8 | data[at + 3], 4
            elif length == 127:
                if size - at < 10:
                    break
                length, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            end = at + head + length
            if end > size:
                break
            self.take(opcode, data[at + head : end], now)
            at = end
        self.data = data[at:]

    def take(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == 2:
            count = self.wire.samples(payload)
            if count:
                self.play(count, now)
        elif opcode == 1:
            if self.wire.take_text(payload):
                self.playing = False
                self.waiting_s = 0.0
        elif opcode == 9:
            self.send(client_frame(10, payload))
        elif opcode == 8:
            self.is_over = True

    def play(self, samples: int, now: float) -> None:
        seconds = samples / self.rate
        self.heard += samples
        if self.playing:
            if now <= self.dry_at:
                self.dry_at += seconds
                return
            self.playing = False
            self.waiting_s = 0.0
            if now - self.dry_at < PAUSE_S:
                self.underruns += 1
                self.gap_s = max(self.gap_s, now - self.dry_at)
        self.waiting_s += seconds
        if self.waiting_s >= BUFFER_S - 1e-9:
            self.playing = True
            self.dry_at = now + self.waiting_s

    def unplayed(self, now: float) -> int:
        left_s = max(0.0, self.dry_at - now) if self.playing else self.waiting_s
        return int(left_s * self.rate)


class Load:
    """All callers."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.callers: dict[int, Caller] = {}
        self.order: list[Caller] = []
        self.frames: list[bytes] = []
        self.late = 0
        self.worst_late_s = 0.0

    def call(self, port: int, path: str, sessions: int, wire: str, rate: int, track: list[str]) -> dict:
        """Open sessions; each speaks ``track`` in a loop, from a place of its own."""
        pcm = b"".join(
            read_wav(part) if part.endswith(".wav") else bytes(int(32000 * float(part))) for part in track
        )
        frames = [pcm[at : at + 640] for at in range(0, len(pcm) - 639, 640)]
        self.frames = [WIRES[wire].encode(frame) for frame in frames]
        for number in range(sessions):
            caller = Caller(port, path, WIRES[wire](), rate)
            caller.offset = number * len(frames) // sessions
            self.callers[caller.socket.fileno()] = caller
            self.epoll.register(caller.socket.fileno(), select.EPOLLIN)
            if number % 8 == 7:
                self.run(0.0)
        self.order = list(self.callers.values())
        now = time.perf_counter()
        for number, caller in enumerate(self.order):
            caller.next_at = now + TICK_S * (1 + number / len(self.order))
        return {}

    def watch(self, seconds: float) -> dict:
        """Run for so long; return what was counted meanwhile."""
        for caller in self.order:
            caller.reset()
        self.late = 0
        self.worst_late_s = 0.0
        cpu = time.process_time()
        began = time.perf_counter()
        self.run(seconds)
        wall_s = time.perf_counter() - began
        return {
            "underruns": sum(caller.underruns for caller in self.order),
            "longest_gap_ms": 1000 * max((caller.gap_s for caller in self.order), default=0.0),
            "heard_s": sum(caller.heard / caller.rate for caller in self.order),
            "lost": sum(caller.is_over for caller in self.order),
            "unsent": sum(caller.unsent for caller in self.order),
            "load_cpu": (time.process_time() - cpu) / wall_s,
            "late_frames": self.late,
            "worst_late_ms": 1000 * self.worst_late_s,
        }

    def run(self, seconds: float) -> None:
        epoll, callers, order = self.epoll, self.callers, self.order
        end = time.perf_counter() + seconds
        at = min(range(len(order)), key=lambda index: order[index].next_at) if order else 0
        while True:
            now = time.perf_counter()
            while order and order[at].next_at <= now:
                self.tick(order[at], now)
                at = at + 1 if at + 1 < len(order) else 0
            wait_s = min(end, order[at].next_at) - now if order else end - now
            for number, _ in epoll.poll(max(0.0, wait_s), 64):
                caller = callers.get(number)
                if caller is not None:
                    caller.receive(time.perf_counter())
                    if caller.is_over:
                        self.drop(number)
            if now >= end:
                return

    def tick(self, caller: Caller, now: float) -> None:
        late_s = now - caller.next_at
        self.worst_late_s = max(self.worst_late_s, late_s)
        self.late += late_s > LATE_S
        caller.next_at += TICK_S
        caller.ticks += 1
        if caller.is_over:
            return
        caller.send(self.frames[(caller.offset + caller.ticks) % len(self.frames)])
        if caller.ticks % REPORT_TICKS == 0 and caller.playing:
            report = caller.wire.report(caller.unplayed(now))
            if report is not None:
                caller.send(report)

    def drop(self, number: int) -> None:
        caller = self.callers.pop(number, None)
        if caller is not None:
            self.epoll.unregister(number)
            caller.socket.close()

    def hang_up(self) -> dict:
        """Close everything."""
        for number, caller in tuple(self.callers.items()):
            with contextlib.suppress(OSError):
                caller.socket.send(client_frame(8, (1000).to_bytes(2, "big")))
            self.drop(number)
        self.order = []
        return {}


def read_wav(path: str) -> bytes:
    """Return 16 kHz mono samples."""
    with wave.open(path) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16000, 1, 2):
            raise ValueError(f"{path} is not 16 kHz mono with 16 bits")
        return file.readframes(file.getnframes())


def main() -> None:
    """Do what standard input says, until it ends."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    load = Load()
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(load, command.pop("what"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""A peer for the tests of the runtime: records what it is given, and does as it is told."""

from __future__ import annotations

import numpy as np
import trio

from voicetrio.errors import PeerGone
from voicetrio.frames import AudioFrame
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.transport import Clear, HangUp, Inbound, Operation, OutboxReader, SendAudio, Traits


class Peer:
    """A transport whose far end is the test."""

    def __init__(self, traits: Traits | None = None, *, goodbye_s: float = 0.0) -> None:
        self.name = "peer"
        self.traits = traits or Traits(output_rate=24000)
        self.operations: list[tuple[float, Operation]] = []
        self.reading = trio.Event()
        self.reading.set()
        self.inbound: Inbound | None = None
        self.left: float | None = None
        self.cancelled = False
        self._goodbye_s = goodbye_s
        self._scope = trio.CancelScope()

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        self.inbound = inbound
        try:
            with self._scope:
                while True:
                    operation = await outbox.next()
                    if isinstance(operation, HangUp):
                        await trio.sleep(self._goodbye_s)
                        self.operations.append((trio.current_time(), operation))
                        return
                    await self.reading.wait()
                    self.operations.append((trio.current_time(), operation))
                    outbox.written(operation)
            raise PeerGone("it hung up")
        except trio.Cancelled:
            self.cancelled = True
            with cleanup():
                await trio.sleep(self._goodbye_s)
            raise
        finally:
            self.left = trio.current_time()

    def hang_up(self) -> None:
        self._scope.cancel()

    @property
    def frames(self) -> list[tuple[float, AudioFrame]]:
        return [(time, op.frame) for time, op in self.operations if isinstance(op, SendAudio)]

    @property
    def clears(self) -> list[tuple[float, Clear]]:
        return [(time, op) for time, op in self.operations if isinstance(op, Clear)]

    @property
    def played(self) -> np.ndarray:
        """Everything that was written, one after the other."""
        parts = [frame.samples for _, frame in self.frames]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int16)

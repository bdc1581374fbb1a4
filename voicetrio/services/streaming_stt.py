"""A recogniser behind a connection: audio goes out as it comes, transcripts come back.

A vendor's *wire* (``hearing_wire``) says how audio is given and what the answers mean, without I/O; a *run*
(``hearing_run``) joins it to a connection, and tells its hypotheses as transcripts on the capture clock.  The
connection lives as long as ``listen``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from voicetrio.connection.connection import Connect, open_connection
from voicetrio.connection.settings import ConnectionSettings, Keepalive
from voicetrio.connection.websocket.socket import Message
from voicetrio.events import Transcript
from voicetrio.machines.dictation import Dictated
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.machines.stream_end import Classifier
from voicetrio.services.hearing_run import HearingRun, HearingSettings, Tell
from voicetrio.services.hearing_wire import HearingWire
from voicetrio.services.stt import SttInput

__all__ = ["ConnectedSTT", "HearingSettings"]


class ConnectedSTT:
    """The recogniser of one session, over one connection; ``listen`` runs once at a time.

    Args:
        name: the service, for events and errors.
        rate: hertz of the mono audio.
        make_wire: makes the vendor's wire.
        connect: opens a socket, see ``open_connection``.
        settings: how it is used.
        connection: bounds of the connection.
        reconnect: how it comes back.
        keepalive: what the vendor wants to hear while no audio comes.
        classifier: what the vendor's own close codes mean.
    """

    def __init__(
        self,
        name: str,
        rate: int,
        make_wire: Callable[[], HearingWire],
        connect: Connect,
        settings: HearingSettings,
        *,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        keepalive: Keepalive | None = None,
        classifier: Classifier | None = None,
    ) -> None:
        self._name = name
        self._rate = rate
        self._make_wire = make_wire
        self._connect = connect
        self._settings = settings
        self._connection = connection
        self._reconnect = reconnect
        self._keepalive = keepalive
        self._classifier = classifier
        self._configuration: Message | None = None
        self._runs: set[HearingRun] = set()

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Recognise until ``inlet`` ends; see ``STT.listen``.

        Raises ServiceError when the connection gave up, ConfigError for audio of another format.
        """

        async def tell(dictated: Dictated) -> None:
            await outlet.send(dictated.transcript)

        await self._listen(inlet, tell)

    async def _listen(
        self, inlet: trio.abc.ReceiveChannel[Any], tell: Tell, *, own_turns: bool = False
    ) -> None:
        run = HearingRun(
            self._name,
            self._rate,
            self._make_wire(),
            self._settings,
            own_turns=own_turns,
            configuration=self._configuration,
        )
        self._runs.add(run)
        try:
            async with open_connection(
                self._connect,
                name=self._name,
                settings=self._connection,
                reconnect=self._reconnect,
                keepalive=self._keepalive,
                on_message=run.on_message,
                classifier=self._classifier,
                dial_now=False,
            ) as connection:
                await run.run(connection, inlet, tell)
        finally:
            self._runs.discard(run)

    def _configure(self, message: Message) -> None:
        """Say ``message`` on the stream that is open, and first of all on every further one."""
        self._configuration = message
        for run in self._runs:
            run.configure(message)

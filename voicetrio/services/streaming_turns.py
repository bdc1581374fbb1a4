"""A recogniser behind a connection whose vendor decides turns by itself, for a turn source without a VAD."""

from __future__ import annotations

import trio

from voicetrio.frames import AudioFrame
from voicetrio.machines.dictation import Dictated
from voicetrio.services.streaming_stt import ConnectedSTT
from voicetrio.services.stt import TurnHeard

__all__ = ["ConnectedTurnSTT"]


class ConnectedTurnSTT(ConnectedSTT):
    """A ``ConnectedSTT`` that is a ``TurnSTT`` too; ``listen`` or ``listen_turns`` runs, once at a time."""

    async def listen_turns(
        self, inlet: trio.abc.ReceiveChannel[AudioFrame], outlet: trio.abc.SendChannel[TurnHeard]
    ) -> None:
        """Recognise the vendor's own turns until ``inlet`` ends; see ``TurnSTT.listen_turns``.

        After a loss the turn that was open goes on: its audio is given again.  Raises as ``listen`` does.
        """

        async def tell(dictated: Dictated) -> None:
            await outlet.send(TurnHeard(transcript=dictated.transcript, is_draft=dictated.is_draft))

        await self._listen(inlet, tell, own_turns=True)

"""Our clients against the same stand-ins, over real sockets and by the dialler that everybody uses."""

from __future__ import annotations

import pytest

from tests.services.kinds import RECOGNISERS, VOICES, Kind
from tests.services.vendors import check_answers, finals, listen, plain, speak, speech
from voicetrio.connection.dialling import websocket_dialler
from voicetrio.testing.standins.server import open_standin


@pytest.mark.parametrize("kind", VOICES, ids=lambda kind: kind.name)
async def test_it_speaks(kind: Kind) -> None:
    async with open_standin(kind.standin(), listen=True) as standin:
        spoken = await speak(kind.client(standin, dial=websocket_dialler), "Hello there,", "my friend.")
    assert plain(spoken.heard) == "hello there, my friend"
    assert spoken.text == "Hello there, my friend."


@pytest.mark.parametrize("kind", RECOGNISERS, ids=lambda kind: kind.name)
async def test_it_hears(kind: Kind) -> None:
    items, stops = speech(16000, 0.2, "yes please", 0.6)
    async with open_standin(kind.standin(), listen=True) as standin:
        transcripts = await listen(kind.client(standin, dial=websocket_dialler), items)
    assert finals(transcripts) == ["yes please"]
    check_answers(transcripts, stops)

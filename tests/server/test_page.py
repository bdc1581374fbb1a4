"""The page: its files, and a conversation in a real browser with a recorded voice at the microphone."""

from __future__ import annotations

import re
import wave
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.server.browser import needs_browser, open_page
from voicetrio.connection.websocket import UpgradeRequest
from voicetrio.conversation import Agent
from voicetrio.data import speech_path
from voicetrio.events import Event, Interrupted, PeerBack, ReplyAudible, ReplyEnded, TurnEnded
from voicetrio.runtime.session import Session, open_session
from voicetrio.server.page import page_answers
from voicetrio.server.serve import SessionServer, serve_sessions
from voicetrio.server.settings import ServerSettings
from voicetrio.testing.faults.proxy import FaultProxy, open_fault_proxy
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

GREETING = "Hello, I am listening."
LONG_ANSWER = " ".join(["Very well,", *(f"step {n}," for n in range(1, 40)), "and done."])
SAID = "go forward ten meters"

# --- its files ------------------------------------------------------------------------------------


def request(path: str) -> UpgradeRequest:
    return UpgradeRequest(path, {}, {}, "a browser")


def page_files() -> dict[str, str]:
    folder = files("voicetrio.server.page")
    return {
        file.name: file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name[-3:] not in (".py", "e__")
    }


def test_every_file_of_the_folder_is_served_with_its_type():
    answer = page_answers()
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for name, text in page_files().items():
        given = answer(request(f"/{name}"))
        assert given is not None, name
        assert given.body.decode() == text
        assert given.headers["Content-Type"].partition(";")[0] == types[Path(name).suffix]
    assert answer(request("/")) == answer(request("/index.html"))


@pytest.mark.parametrize(
    "path", ["/favicon.ico", "/page", "/../serve.py", "/__init__.py", "/APP.JS", "//", "", "/index.html/"]
)
def test_nothing_else_is_served(path):
    assert page_answers()(request(path)) is None


def test_the_page_may_use_nothing_but_its_server():
    headers = page_answers()(request("/")).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    for name, text in page_files().items():
        addresses = set(re.findall(r"\w+://[^\"' )]*", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, name
        assert "innerHTML" not in text, name


def test_the_page_says_the_types_that_the_wire_has():
    from voicetrio.transports.serializers.event_json import EVENT_NAMES

    scripts = page_files()
    shown = set(re.findall(r'case "(\w+)"', scripts["app.js"] + scripts["timings.js"]))
    assert shown <= set(EVENT_NAMES.values())
    wire = (Path(__file__).parents[2] / "docs" / "wire.md").read_text("utf-8")
    for kind in re.findall(r'case "(\w+)"', scripts["wire.js"]) + re.findall(
        r'type: "(\w+)"', scripts["wire.js"]
    ):
        assert f"| `{kind}` |" in wire


# --- in a browser ---------------------------------------------------------------------------------


def recorded_microphone(folder: Path, *, before_s: float, after_s: float) -> Path:
    """Write what the browser's microphone hears, again and again: silence, a person, silence."""
    with wave.open(str(speech_path("go-forward.wav"))) as recording:
        rate = recording.getframerate()
        voice = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    path = folder / "microphone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(
            bytes(round(before_s * rate) * 2) + voice.tobytes() + bytes(round(after_s * rate) * 2)
        )
    return path


class Line:
    """The server's side: its sessions, and what happened in them."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.events: list[Event] = []
        self.stop = trio.CancelScope()
        self.server: SessionServer
        self.network: FaultProxy

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(self, kind: type, count: int = 1, *, within_s: float = 25):
        with trio.fail_after(within_s):
            while len(self.of(kind)) < count:  # noqa: ASYNC110 - the browser sets no event
                await trio.sleep(0.02)
        return self.of(kind)[count - 1]


def talker() -> Agent:
    return Agent(
        vad=lambda: ScriptedVAD(threshold=600),
        stt=lambda: ScriptedSTT([SAID] * 50, decode_s=0.15),
        llm=lambda: ScriptedLLM(lambda _messages: LONG_ANSWER, first_piece_s=0.05),
        tts=lambda: ScriptedTTS(first_audio_s=0.05),
        greeting=GREETING,
    )


@asynccontextmanager
async def page_at_server(
    folder: Path, *, width: int = 1280, flags=(), resume_s: float = 20.0, tolerated=r"$^"
):
    line = Line()

    async def watch(session: Session, task_status) -> None:
        with session.events() as events:
            task_status.started()
            async for event in events:
                line.events.append(event)

    async def handler(peer) -> None:
        async with trio.open_nursery() as nursery, open_session(peer, talker()) as session:
            line.sessions.append(session)
            await nursery.start(watch, session)
            await session.wait_ended()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(
                serve_sessions,
                handler,
                0,
                plain=page_answers(),
                settings=ServerSettings(resume_s=resume_s, lead_s=0.1),
            )
        )
        line.server, line.stop = server, nursery.cancel_scope
        async with (
            open_fault_proxy("127.0.0.1", server.port) as line.network,
            open_page(folder, flags=flags, width=width) as page,
        ):
            await page.command("Page.navigate", url=f"http://127.0.0.1:{line.network.port}/")
            await page.wait_until("document.readyState === 'complete'")
            yield page, line
            problems = [problem for problem in page.problems if not re.search(tolerated, problem)]
            assert problems == []
        nursery.cancel_scope.cancel()


TEXTS = "[...document.querySelectorAll('.entry .said')].map((one) => one.textContent)"
PLAYED = ".entry.agent .said span:not(.coming):not(.sr)"
FAKE_DEVICES = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.mark.browser
@needs_browser
async def test_a_conversation_by_voice(tmp_path):
    microphone = recorded_microphone(tmp_path, before_s=3.5, after_s=1.5)
    flags = (*FAKE_DEVICES, f"--use-file-for-fake-audio-capture={microphone}")
    async with page_at_server(tmp_path, flags=flags) as (page, line):
        # With the keyboard alone: the first thing that a Tab reaches is the call.
        await page.press("Tab")
        await page.press("Enter", text="\r")
        await page.wait_until("document.getElementById('state').dataset.state === 'speaking'")
        greeted = await line.wait_for(ReplyEnded)
        assert (greeted.heard, greeted.how, greeted.heard_quality) == (GREETING, "played", "exact")
        # The user speaks, and is answered.
        await line.wait_for(TurnEnded)
        assert await page.wait_until(f"{TEXTS}.length >= 3 && {TEXTS}") is not None
        assert (await page.evaluate(TEXTS))[:2] == [GREETING, SAID]
        rows = await page.wait_until(
            "[...document.querySelectorAll('.timings dt')].map((one) => one.textContent)"
        )
        assert rows == ["Answered after", "waited", "recognition", "model", "voice"]
        answered_ms, waited_ms = await page.evaluate(
            "[...document.querySelectorAll('.timings dd')].map((one) => parseInt(one.innerText)).slice(0, 2)"
        )
        assert 650 < waited_ms < answered_ms < 3000
        # The words that are played are marked while they are; those that wait look different.
        await page.wait_until("!!document.querySelector('.entry:last-child .said span:not(.coming)')")
        # The microphone's recording begins again, in the middle of the answer.
        await line.wait_for(Interrupted)
        ended = await line.wait_for(ReplyEnded, 2)
        assert ended.how == "interrupted"
        assert ended.heard_quality == "exact"
        assert LONG_ANSWER.startswith(ended.heard)
        assert 0 < len(ended.heard) < len(ended.text)
        await page.wait_until("document.querySelector('.entry s')?.title === 'not heard'")
        shown = await page.evaluate(
            "document.querySelectorAll('.entry.agent .said')[1].firstChild.textContent"
        )
        assert shown == ended.heard
        # It hangs up.
        await page.evaluate("document.getElementById('call').click()")
        with trio.fail_after(20):
            await line.sessions[0].wait_ended()
        assert line.sessions[0].result.reason == "source_ended"
        await page.wait_until("document.getElementById('state').textContent === 'Not connected'")
        assert await page.evaluate("document.getElementById('notice').hidden")


@pytest.mark.browser
@needs_browser
async def test_a_refused_microphone_is_said_and_typing_goes_on(tmp_path):
    async with page_at_server(tmp_path, width=390, flags=FAKE_DEVICES[:1]) as (page, line):
        await page.command("Browser.setPermission", permission={"name": "microphone"}, setting="denied")
        await page.evaluate("document.getElementById('call').click()")
        notice = "document.getElementById('notice').textContent"
        assert "does not allow this page to use the microphone" in await page.wait_until(notice)
        await line.wait_for(ReplyAudible)
        # The server's clock for what the user says goes on all the same.
        await trio.sleep(0.5)
        assert line.sessions[0].statistics().inbound.seconds > 0.3
        await page.evaluate("document.getElementById('text').focus()")
        await page.command("Input.insertText", text="<b>what now</b>")
        await page.press("Enter", text="\r")
        assert (await line.wait_for(TurnEnded)).text == "<b>what now</b>"
        await page.wait_until(f"{TEXTS}.includes('<b>what now</b>')")
        assert await page.evaluate("document.getElementById('mute').textContent") == "Use the microphone"
        # On a phone nothing is wider than the screen.
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await page.evaluate(
            "[...document.querySelectorAll('button, input')].every((one) => one.offsetHeight >= 44)"
        )
        # The server ends it.
        line.sessions[0].cancel("the machine burns")
        await page.wait_until(f"{notice}.includes('The server ended the call')")
        assert await page.evaluate("document.getElementById('call').textContent") == "Start talking"


@pytest.mark.browser
@needs_browser
async def test_typing_first_asks_for_no_microphone(tmp_path):
    async with page_at_server(tmp_path) as (page, line):
        await page.evaluate("navigator.mediaDevices.getUserMedia = () => { throw new Error('was asked'); }")
        await page.evaluate("document.getElementById('text').value = 'hello'")
        await page.evaluate("document.querySelector('#typing button').click()")
        assert (await line.wait_for(TurnEnded)).text == "hello"
        # What is typed next interrupts: the page is told to drop what it holds, and goes on counting.
        await page.wait_until(f"document.querySelectorAll('{PLAYED}').length > 5")
        await page.evaluate("document.getElementById('text').value = 'and then?'")
        await page.press("Tab")
        await page.evaluate("document.querySelector('#typing button').click()")
        ended = await line.wait_for(ReplyEnded, 2)
        assert (ended.how, ended.heard_quality) == ("interrupted", "exact")
        assert line.sessions[0].playout.statistics().clears >= 1
        await line.wait_for(ReplyAudible, 2)
        assert ended.heard.startswith("Very well, step 1")
        await page.wait_until("document.querySelectorAll('.timings').length === 2")
        assert line.sessions[0].statistics().inbound.stale_confirmations < 3
        assert await page.evaluate("document.getElementById('notice').hidden")


STATE = "document.getElementById('state').dataset.state"
NOTICE = "document.getElementById('notice').textContent"
A_LOST_NETWORK = "WebSocket connection to"


@pytest.mark.browser
@needs_browser
async def test_a_conversation_goes_on_after_a_lost_network(tmp_path):
    async with page_at_server(tmp_path, tolerated=A_LOST_NETWORK) as (page, line):
        await page.evaluate("navigator.mediaDevices.getUserMedia = () => { throw new Error('was asked'); }")
        await page.evaluate("document.getElementById('text').value = 'hello'")
        await page.evaluate("document.querySelector('#typing button').click()")
        await line.wait_for(ReplyAudible)
        await page.wait_until(f"document.querySelectorAll('{PLAYED}').length > 5")
        # The network breaks in the middle of the answer, twice: the page is back by itself.
        for times in (1, 2):
            line.network.reset()
            await line.wait_for(PeerBack, times)
            await page.wait_until(f"{STATE} !== 'lost'")
        # What is typed now reaches the same conversation, which knows to the word what was heard.
        heard = await page.evaluate(f"document.querySelectorAll('{PLAYED}').length")
        await page.wait_until(f"document.querySelectorAll('{PLAYED}').length > {heard + 3}")
        await page.evaluate("document.getElementById('text').value = 'and then?'")
        await page.evaluate("document.querySelector('#typing button').click()")
        ended = await line.wait_for(ReplyEnded, 2)
        assert (ended.how, ended.heard_quality) == ("interrupted", "exact")
        assert ended.heard.startswith("Very well, step 1, step 2")
        await page.wait_until("document.querySelector('.entry s')?.title === 'not heard'")
        await page.wait_until(f"['hello', 'and then?'].every((text) => {TEXTS}.includes(text))")
        shown = await page.evaluate(
            "[...document.querySelectorAll('.entry s')].map((cut) => cut.parentElement.firstChild.data)"
        )
        assert shown[-1] == ended.heard
        assert len(line.sessions) == 1
        assert line.server.statistics().resumed == 2
        assert await page.evaluate("document.getElementById('notice').hidden")


@pytest.mark.browser
@needs_browser
async def test_a_browser_that_is_online_again_calls_at_once(tmp_path):
    async with page_at_server(tmp_path) as (page, line):
        await page.evaluate("document.getElementById('text').value = 'hello'")
        await page.evaluate("document.querySelector('#typing button').click()")
        await line.wait_for(ReplyAudible)
        # Nothing tells that the connection is dead, but for the browser's word that it has a network anew.
        line.network.stall()
        await page.evaluate("dispatchEvent(new Event('online'))")
        await page.wait_until(f"{STATE} === 'lost'")
        line.network.resume()
        await line.wait_for(PeerBack)
        await page.wait_until(f"{STATE} !== 'lost'")
        assert (len(line.sessions), line.server.statistics().resumed) == (1, 1)


@pytest.mark.browser
@needs_browser
async def test_who_cannot_come_back_in_time_is_told(tmp_path):
    async with page_at_server(tmp_path, resume_s=1.5, tolerated=f"{A_LOST_NETWORK}|ERR_") as (page, line):
        await page.evaluate("document.getElementById('text').value = 'hello'")
        await page.evaluate("document.querySelector('#typing button').click()")
        await line.wait_for(ReplyAudible)
        line.network.stall()
        line.network.reset()
        await page.wait_until(f"{STATE} === 'lost'")
        # Hung up or given up: the session is over, and the page says so.
        with trio.fail_after(20):
            await line.sessions[0].wait_ended()
        assert line.sessions[0].result.reason == "peer_gone"
        line.network.resume()
        await page.wait_until(f"{NOTICE}.includes('The connection was lost')")
        assert await page.evaluate("document.getElementById('call').textContent") == "Start talking"

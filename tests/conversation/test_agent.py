import numpy as np
import pytest
import trio

from tests.conversation.calls import calling, leaf, scripted
from voicetrio.audio.wav import WavWriter
from voicetrio.conversation import Agent, AgentLike, BargeInSettings, ConversationSettings
from voicetrio.conversation.listening import Listening
from voicetrio.errors import AudioError, ConfigError
from voicetrio.events import ReplyEnded
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD


class Models:
    def vad(self):
        return ScriptedVAD()

    def stt(self):
        return ScriptedSTT(["Hello."])

    def llm(self):
        return ScriptedLLM(["Hello to you."])

    def tts(self):
        return ScriptedTTS()


async def test_models_come_from_one_object(autojump_clock):
    async with calling(Agent(Models())) as call:
        call.voice(0.5, 1.5)
        assert (await call.wait_for(ReplyEnded)).heard == "Hello to you."


async def test_one_agent_serves_many_sessions(autojump_clock):
    agent = Agent(Models())
    for _ in range(2):
        async with calling(agent) as call:
            call.voice(0.5, 1.5)
            assert (await call.wait_for(ReplyEnded)).heard == "Hello to you."


async def test_an_own_factory_goes_before_the_models(autojump_clock):
    agent = Agent(Models(), llm=lambda: ScriptedLLM(["Mine."]))
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        assert (await call.wait_for(ReplyEnded)).heard == "Mine."


async def test_an_agent_need_not_listen(autojump_clock):
    agent = Agent(tts=ScriptedTTS, greeting="Hello.")
    assert not agent.answers_turns
    async with calling(agent) as call:
        await call.wait_for(ReplyEnded)
        call.voice(call.now, call.now + 1)
        await trio.sleep(3)
        assert call.conversation.statistics().user_state == "listening"


async def test_an_agent_without_a_voice_is_refused(autojump_clock):
    with pytest.raises(BaseExceptionGroup) as caught:
        async with calling(Agent(vad=ScriptedVAD)):
            pass
    error = leaf(caught.value)
    assert isinstance(error, ConfigError)
    assert "no voice" in str(error)


def test_a_recogniser_without_a_vad_is_refused():
    agent = Agent(stt=ScriptedSTT, tts=ScriptedTTS)
    with pytest.raises(ConfigError, match="no VAD"):
        agent.open_turn_source(ConversationSettings())


def test_a_model_in_place_of_its_factory_is_refused():
    with pytest.raises(ConfigError, match="tts is a function that makes one for each session"):
        Agent(tts=ScriptedTTS())


def test_a_greeting_without_words_is_refused():
    with pytest.raises(ConfigError, match="greeting"):
        Agent(greeting="")


def test_an_agent_is_what_a_conversation_reads():
    assert isinstance(Agent(), AgentLike)
    assert not isinstance("a text", AgentLike)


def test_an_agent_listens_with_its_settings():
    settings = ConversationSettings(barge_in=BargeInSettings(duck_after_s=0.1))
    source = Agent(Models(), settings=settings).open_turn_source(settings)
    assert isinstance(source, Listening)


@pytest.mark.parametrize("kind", ["array", "path", "name"])
async def test_the_bed_sounds_under_the_conversation(kind, tmp_path, autojump_clock):
    samples = np.full(2400, 500, np.int16)
    if kind == "path":
        with WavWriter(tmp_path / "bed.wav", 24000) as wav:
            wav.write(samples)
    bed = {"array": samples, "path": tmp_path / "bed.wav", "name": "room"}[kind]
    agent, *_ = scripted(bed=bed, bed_gain_db=0.0)
    async with calling(agent, microphone=False) as call:
        await call.far_end.wait_heard(20)  # it fades in
        assert any(frame.samples.any() for frame in call.far_end.audio)


async def test_a_bed_that_cannot_be_read_fails_the_session(tmp_path, autojump_clock):
    agent, *_ = scripted(bed=tmp_path / "missing.ogg")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with calling(agent):
            await trio.sleep_forever()
    error = leaf(caught.value)
    assert isinstance(error, AudioError)

"""OpenAI, and every server that speaks its API: language model, voice, recogniser, speech to speech."""

from __future__ import annotations

from voicetrio.services.openai.account import Account, find_account
from voicetrio.services.openai.llm import LlmStatistics, OpenAILLM
from voicetrio.services.openai.realtime import OpenAIRealtime
from voicetrio.services.openai.realtime_session import RealtimeSession, RealtimeStatistics
from voicetrio.services.openai.realtime_wire import RealtimeSettings
from voicetrio.services.openai.services import OpenAIServices, open_services
from voicetrio.services.openai.stt import OpenAISTT, SttStatistics
from voicetrio.services.openai.tts import OpenAITTS, TtsStatistics
from voicetrio.services.openai.wire import Usage

__all__ = [
    "Account",
    "LlmStatistics",
    "OpenAILLM",
    "OpenAIRealtime",
    "OpenAISTT",
    "OpenAIServices",
    "OpenAITTS",
    "RealtimeSession",
    "RealtimeSettings",
    "RealtimeStatistics",
    "SttStatistics",
    "TtsStatistics",
    "Usage",
    "find_account",
    "open_services",
]

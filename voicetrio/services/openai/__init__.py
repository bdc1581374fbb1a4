"""OpenAI, and every server that speaks its API: language model, voice, recogniser."""

from __future__ import annotations

from voicetrio.services.openai.account import Account, find_account
from voicetrio.services.openai.llm import LlmStatistics, OpenAILLM
from voicetrio.services.openai.services import OpenAIServices, open_services
from voicetrio.services.openai.stt import OpenAISTT, SttStatistics
from voicetrio.services.openai.tts import OpenAITTS, TtsStatistics
from voicetrio.services.openai.wire import Usage

__all__ = [
    "Account",
    "LlmStatistics",
    "OpenAILLM",
    "OpenAISTT",
    "OpenAIServices",
    "OpenAITTS",
    "SttStatistics",
    "TtsStatistics",
    "Usage",
    "find_account",
    "open_services",
]

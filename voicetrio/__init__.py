"""voicetrio: a voice-agent runtime for trio.

The names that most programs need.  A name's module is imported when the name is first used, so
``import voicetrio`` costs next to nothing and a program loads only what it uses.  Everything else is found in
the module that is its subject: ``voicetrio.transports.wav``, ``voicetrio.services.local``, and so on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from voicetrio.late import late_names
from voicetrio.version import __version__

if TYPE_CHECKING:
    from voicetrio import errors, events, frames
    from voicetrio.conversation.agent import Agent
    from voicetrio.conversation.settings import ConversationSettings
    from voicetrio.conversation.tools import tool
    from voicetrio.errors import SessionError, VoicetrioError
    from voicetrio.events import Event
    from voicetrio.frames import AudioFrame, DtmfFrame, MessageFrame, TextFrame, WordFrame
    from voicetrio.runtime.behaviour import Behaviour, SessionContext
    from voicetrio.runtime.deadlines import cleanup
    from voicetrio.runtime.emit import emit
    from voicetrio.runtime.ending import SessionEnd, SessionSettings
    from voicetrio.runtime.links import open_link
    from voicetrio.runtime.parallel import Parallel
    from voicetrio.runtime.pipeline import Pipeline, pipeline
    from voicetrio.runtime.playout import PlayoutSettings
    from voicetrio.runtime.session import Session, open_session
    from voicetrio.runtime.stages import Sink, Source, Stage
    from voicetrio.runtime.switch import Switch
    from voicetrio.runtime.transforms import transform
    from voicetrio.runtime.transport import Transport
    from voicetrio.runtime.workers import WorkerPool, open_workers
    from voicetrio.server.serve import serve_sessions
    from voicetrio.server.settings import ServerSettings

__all__ = [
    "Agent",
    "AudioFrame",
    "Behaviour",
    "ConversationSettings",
    "DtmfFrame",
    "Event",
    "MessageFrame",
    "Parallel",
    "Pipeline",
    "PlayoutSettings",
    "ServerSettings",
    "Session",
    "SessionContext",
    "SessionEnd",
    "SessionError",
    "SessionSettings",
    "Sink",
    "Source",
    "Stage",
    "Switch",
    "TextFrame",
    "Transport",
    "VoicetrioError",
    "WordFrame",
    "WorkerPool",
    "__version__",
    "cleanup",
    "emit",
    "errors",
    "events",
    "frames",
    "open_link",
    "open_session",
    "open_workers",
    "pipeline",
    "serve_sessions",
    "tool",
    "transform",
]

_NAMES_BY_MODULE = {
    "voicetrio.conversation.agent": ("Agent",),
    "voicetrio.conversation.settings": ("ConversationSettings",),
    "voicetrio.conversation.tools": ("tool",),
    "voicetrio.errors": ("SessionError", "VoicetrioError"),
    "voicetrio.events": ("Event",),
    "voicetrio.frames": ("AudioFrame", "DtmfFrame", "MessageFrame", "TextFrame", "WordFrame"),
    "voicetrio.runtime.behaviour": ("Behaviour", "SessionContext"),
    "voicetrio.runtime.deadlines": ("cleanup",),
    "voicetrio.runtime.emit": ("emit",),
    "voicetrio.runtime.ending": ("SessionEnd", "SessionSettings"),
    "voicetrio.runtime.links": ("open_link",),
    "voicetrio.runtime.parallel": ("Parallel",),
    "voicetrio.runtime.pipeline": ("Pipeline", "pipeline"),
    "voicetrio.runtime.playout": ("PlayoutSettings",),
    "voicetrio.runtime.session": ("Session", "open_session"),
    "voicetrio.runtime.stages": ("Sink", "Source", "Stage"),
    "voicetrio.runtime.switch": ("Switch",),
    "voicetrio.runtime.transforms": ("transform",),
    "voicetrio.runtime.transport": ("Transport",),
    "voicetrio.runtime.workers": ("WorkerPool", "open_workers"),
    "voicetrio.server.serve": ("serve_sessions",),
    "voicetrio.server.settings": ("ServerSettings",),
}
_MODULES = ("errors", "events", "frames")
_load = late_names(__name__, _NAMES_BY_MODULE)


def __getattr__(name: str) -> Any:
    return import_module(f"voicetrio.{name}") if name in _MODULES else _load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

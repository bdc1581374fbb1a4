"""Speech on request: engines behind one interface, texts to audio, recordings to text.

Beside the interfaces of a session (``TTS``, ``STT``), which stream within a conversation, these serve
requests that stand alone: the speech server, and the commands ``say`` and ``transcribe``.
"""

from __future__ import annotations

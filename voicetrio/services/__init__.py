"""The interfaces to speech services, and their implementations: one module a vendor or local model.

Where to look:

- the interfaces: ``stt``, ``tts``, ``llm``, ``vad``, ``speech_model``;
- a recogniser behind a WebSocket: a vendor's class extends ``streaming_stt``, or ``streaming_turns`` where
  the vendor decides turns; its wire is a ``hearing_wire``, mostly a ``json_hearing``; ``hearing_run`` and
  ``hearing_stream`` do the rest;
- a voice behind a WebSocket: ``streaming_tts``, ``voice_wire`` and ``voice_line`` in the same places;
- what all wires need: ``wires``, ``credentials``;
- helpers of what does not stream, or tells no times: ``segments``, ``word_spread``.
"""

"""Pipecat's server of ``sessions.py``: its FastAPI WebSocket transport with its protobuf serializer.

    python sessions_pipecat.py SCENARIO CORE

Runs in the peer's environment. ``pipecat`` echoes audio as its documentation's echo bots do, with its
defaults; ``pipecat_vad`` has its Silero VAD beside.
"""

# No ``from __future__ import annotations``: FastAPI looks at the annotations of a local function.
import asyncio
import os
import sys


def main() -> None:
    """Serve."""
    scenario, core = sys.argv[1:3]
    os.sched_setaffinity(0, {int(core)})
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"

    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING")

    import uvicorn
    from fastapi import FastAPI, WebSocket
    from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.runner import PipelineRunner
    from pipecat.pipeline.task import PipelineParams, PipelineTask
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.serializers.protobuf import ProtobufFrameSerializer
    from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

    class Echo(FrameProcessor):
        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, InputAudioRawFrame):
                audio = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
                await self.push_frame(audio)
            else:
                await self.push_frame(frame, direction)

    app = FastAPI()

    @app.websocket("/")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        params = FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=ProtobufFrameSerializer()
        )
        transport = FastAPIWebsocketTransport(websocket, params)
        stages = [transport.input(), Echo(), transport.output()]
        if scenario == "pipecat_vad":
            from pipecat.audio.vad.silero import SileroVADAnalyzer
            from pipecat.processors.audio.vad_processor import VADProcessor

            stages.insert(1, VADProcessor(vad_analyzer=SileroVADAnalyzer()))
        rates = PipelineParams(audio_in_sample_rate=16000, audio_out_sample_rate=16000)
        task = PipelineTask(Pipeline(stages), params=rates)

        @transport.event_handler("on_client_disconnected")
        async def on_client_disconnected(_transport, _websocket) -> None:
            await task.cancel()

        await PipelineRunner(handle_sigint=False).run(task)

    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="auto")
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  # the library has no event for it
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

    asyncio.run(serve())


if __name__ == "__main__":
    main()

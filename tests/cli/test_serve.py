"""``voicetrio serve`` as a process: it answers, and Ctrl-C lets it go."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
import trio

from voicetrio.cli import command_line
from voicetrio.testing.reference_client import open_reference_client


def test_an_address_that_others_reach_is_refused_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command_line.main(["serve", "--host", "0.0.0.0"]) == 1
    told = capsys.readouterr().err
    assert "0.0.0.0 can be reached from other machines" in told
    assert all(flag in told for flag in ("--token-file", "--secret-file", "--open-to-all"))


@pytest.mark.models
async def test_it_greets_whoever_connects_and_ctrl_c_ends_it() -> None:
    command = [sys.executable, "-u", "-m", "voicetrio", "serve", "--port", "0"]
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "NO_COLOR": "1"}
    )
    output = ""
    try:
        with trio.fail_after(60):
            assert process.stdout is not None
            while not (found := re.search(r"(ws://[\d.:]+\d)", output)):
                chunk = await process.stdout.receive_some()
                assert chunk, output
                output += chunk.decode()
            async with open_reference_client(found[1]) as client:
                opened = await client.wait_event("reply_opened")
                assert opened.fields["source"] == "greeting"
                await client.wait_event("reply_audible")
                process.send_signal(signal.SIGINT)
                await client.wait_message(lambda message: message.fields["type"] == "bye")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await process.wait()
        if process.stdout is not None:
            await process.stdout.aclose()

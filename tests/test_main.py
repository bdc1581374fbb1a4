"""The process of the command: however it is interrupted, it ends with a status and without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LEAVES_A_THREAD = """
import sys
import trio
import voicetrio.cli
from voicetrio.__main__ import run


async def leave():
    def read():
        trio.from_thread.run_sync(reading.set)
        sys.stdin.buffer.read()

    async def wait():
        await trio.to_thread.run_sync(read, abandon_on_cancel=True)

    reading = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await reading.wait()
        nursery.cancel_scope.cancel()


def main():
    trio.run(leave)
    print("said", flush=True)
    return STATUS


voicetrio.cli.main = main
run()
"""


def test_ctrl_c_while_it_is_still_loading_is_status_130(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "voicetrio", "--version"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_thread_that_is_left_behind_does_not_crash_the_process() -> None:
    """It holds the lock of standard input, without which Python cannot shut down."""
    for status in (130, 0):
        with subprocess.Popen(
            [sys.executable, "-c", LEAVES_A_THREAD.replace("STATUS", str(status))],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,  # open, so that the thread's read does not return
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.wait(60) == status
            assert process.stdout is not None
            assert process.stderr is not None
            assert (process.stdout.read(), process.stderr.read()) == (b"said\n", b"")

"""What is left behind is found and named; what is not left behind is not."""

# ruff: noqa: PT012  # what a block leaves behind takes several lines to make

from __future__ import annotations

import os
import socket
import tempfile
import threading

import pytest
import trio

from voicetrio.runtime.links import open_link
from voicetrio.testing.leaks import LeakError, assert_no_leaks
from voicetrio.testing.tree import format_task_tree


def found(caught: pytest.ExceptionInfo[LeakError], kind: str) -> str:
    lines = getattr(caught.value.leaks, kind)
    assert len(lines) == 1, caught.value
    assert f"{kind}: {lines[0]}" in str(caught.value)
    return str(lines[0])


async def test_a_tidy_block_passes() -> None:
    with assert_no_leaks():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
        sender, receiver = open_link[int](name="tidy")
        with sender, receiver:
            await sender.send(1)
        left, right = socket.socketpair()
        left.close()
        right.close()
        with tempfile.NamedTemporaryFile():
            pass
        await trio.to_thread.run_sync(os.getpid)


async def test_a_task_is_named_with_its_place_and_the_tree_is_shown() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(LeakError) as caught:
            with assert_no_leaks():
                nursery.start_soon(trio.sleep_forever, name="the sleeper")
                await trio.lowlevel.checkpoint()
        assert found(caught, "tasks").startswith("the sleeper at ")
        assert "the tasks:\n" in str(caught.value)
        nursery.cancel_scope.cancel()


async def test_a_socket_is_a_descriptor() -> None:
    with socket.socket() as left_open:
        with pytest.raises(LeakError) as caught:
            with assert_no_leaks(channels=False):
                inner = socket.socket()
                await trio.lowlevel.checkpoint()
        assert found(caught, "descriptors").startswith(f"{inner.fileno()} socket:")
        inner.close()
        assert left_open.fileno() >= 0


async def test_ends_of_links_and_memory_channels_are_found() -> None:
    with pytest.raises(LeakError) as caught:
        with assert_no_leaks():
            sender, receiver = open_link[int](name="kept")
            sender.close()
            await trio.lowlevel.checkpoint()
    assert found(caught, "ends") == "receiver of the link 'kept'"
    receiver.close()
    with pytest.raises(LeakError) as caught:
        with assert_no_leaks():
            send_end, receive_end = trio.open_memory_channel[int](5)
            send_end.send_nowait(1)
            receive_end.close()
    assert found(caught, "ends").startswith("send end of a memory channel")
    send_end.close()


async def test_a_limiter_with_a_borrowed_token_is_found() -> None:
    limiter = trio.CapacityLimiter(2)
    with pytest.raises(LeakError) as caught:
        with assert_no_leaks():
            await limiter.acquire()
    assert found(caught, "limiters") == "1 of 2 tokens held"
    limiter.release()


def test_a_thread_is_found_also_without_a_run() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="the worker")
    with pytest.raises(LeakError) as caught:
        with assert_no_leaks():
            thread.start()
    assert found(caught, "threads") == "the worker"
    stop.set()
    thread.join()


def test_a_temporary_file_is_found() -> None:
    with pytest.raises(LeakError) as caught:
        with assert_no_leaks():
            handle, path = tempfile.mkstemp()
            os.close(handle)
            folder = tempfile.mkdtemp()
            os.rmdir(folder)
    assert found(caught, "files") == path
    os.unlink(path)


def test_a_block_that_raises_is_not_checked() -> None:
    with pytest.raises(KeyError):
        with assert_no_leaks():
            handle, path = tempfile.mkstemp()
            os.close(handle)
            raise KeyError
    os.unlink(path)


async def test_the_tree_shows_names_places_and_what_shields_them() -> None:
    async def parent() -> None:
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.shield = True
            nursery.cancel_scope.deadline = trio.current_time() + 100
            nursery.start_soon(trio.sleep_forever, name="the child")
            nursery.start_soon(trio.sleep_forever, name="a second child")

    async with trio.open_nursery() as outer:
        outer.start_soon(parent, name="the parent")
        await trio.testing.wait_all_tasks_blocked()
        lines = format_task_tree().splitlines()
        outer.cancel_scope.cancel()
        next(iter(outer.child_tasks)).child_nurseries[0].cancel_scope.cancel()
    texts = [line.strip() for line in lines]
    index = next(k for k, text in enumerate(texts) if text.startswith("the parent  at "))
    assert texts[index + 1].startswith("nursery 1 (shielded, until ")
    assert texts[index + 2].startswith("a second child  at ")
    assert texts[index + 3].startswith("the child  at ")
    assert len(lines[index + 2]) - len(texts[index + 2]) == len(lines[index]) - len(texts[index]) + 4


def test_outside_of_a_run_there_is_no_tree() -> None:
    assert format_task_tree() == "(no task)"

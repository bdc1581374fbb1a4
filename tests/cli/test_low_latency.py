from __future__ import annotations

import gc
import sys

import pytest

from voicetrio.cli.low_latency import low_latency


def test_threads_give_way_sooner_and_what_is_there_is_not_collected_again_in_the_block_only() -> None:
    before = sys.getswitchinterval()
    with low_latency():
        assert sys.getswitchinterval() < before / 5
        assert gc.get_freeze_count() > 1000
    assert sys.getswitchinterval() == pytest.approx(before)
    assert gc.get_freeze_count() == 0

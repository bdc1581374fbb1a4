import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.reply_gate import ReplyGate


def test_the_way_of_a_reply():
    gate = ReplyGate()
    assert not gate.is_committed
    assert gate.commit()
    assert gate.is_committed
    assert gate.audible(1000)
    assert gate.phase == "audible"
    assert gate.close()
    assert not gate.close()


def test_nothing_of_a_speculative_reply_is_heard_and_no_tool_runs_for_it():
    gate = ReplyGate()
    assert not gate.audible(1000)
    assert not gate.act()
    assert gate.phase == "speculative"


def test_nothing_passes_after_the_end():
    gate = ReplyGate()
    gate.commit()
    gate.close()
    assert not gate.commit()
    assert not gate.audible(1000)
    assert not gate.act()
    assert gate.user_spoke(500) == "keep"


def test_speech_before_the_first_heard_sample_retracts():
    gate = ReplyGate()
    assert gate.user_spoke(500) == "keep"
    gate.commit()
    assert gate.user_spoke(500) == "retract"
    gate.audible(1000)
    assert gate.user_spoke(999) == "retract"
    assert gate.user_spoke(1000) == "barge-in"


def test_what_a_tool_has_done_cannot_be_retracted():
    gate = ReplyGate()
    gate.commit()
    assert gate.act()
    assert gate.user_spoke(500) == "keep"
    gate.audible(1000)
    assert gate.user_spoke(999) == "keep"
    assert gate.user_spoke(1001) == "barge-in"


def test_a_later_stretch_of_the_reply_does_not_move_what_was_first_heard():
    gate = ReplyGate()
    gate.commit()
    gate.audible(1000)
    gate.audible(5000)
    assert gate.user_spoke(2000) == "barge-in"


@given(st.lists(st.sampled_from(["commit", "act", "audible", "close"]), max_size=12))
def test_audible_always_comes_after_commit_and_never_after_close(steps):
    gate = ReplyGate()
    committed = closed = False
    for step in steps:
        match step:
            case "commit":
                assert gate.commit() is not closed
                committed = committed or not closed
            case "act":
                assert gate.act() is (committed and not closed)
            case "audible":
                assert gate.audible(1) is (committed and not closed)
            case "close":
                gate.close()
                closed = True
        assert gate.is_committed is (committed and not closed)


@pytest.mark.parametrize("start", [0, 10**9])
def test_a_reply_that_is_over_is_left_alone(start):
    gate = ReplyGate()
    gate.close()
    assert gate.user_spoke(start) == "keep"


def test_a_tool_may_run_for_a_reply_that_is_heard():
    gate = ReplyGate()
    gate.commit()
    gate.audible(1000)
    assert gate.act()
    assert gate.phase == "audible"
    assert gate.user_spoke(500) == "keep"  # what was done cannot be taken back
    assert gate.user_spoke(1500) == "barge-in"

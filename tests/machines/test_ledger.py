"""What was heard: never more than was written, never what was cleared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.ledger import PlayoutLedger, ReplyLedger, SpokenWord
from voicetrio.machines.pacing import Pacer

RATE = 24000


def ledger(*, confirms: bool = False) -> tuple[PlayoutLedger, Pacer]:
    pacer = Pacer(RATE, 480, lead_s=0.06)
    pacer.start(0.0)
    return PlayoutLedger(pacer, RATE, confirms=confirms), pacer


def reply(*words: str, samples: int = 2400) -> ReplyLedger:
    made = ReplyLedger()
    for k, word in enumerate(words):
        made.add_word(SpokenWord(word, k * samples, (k + 1) * samples))
    return made


def test_nothing_is_heard_that_was_not_written() -> None:
    book, _ = ledger()
    assert book.heard(100.0) == (0, "estimated")
    book.wrote(4800)
    assert book.heard(100.0) == (4800, "estimated")


def test_what_was_written_once_stays_written() -> None:
    book, _ = ledger()
    book.wrote(4800)
    book.wrote(2400)
    assert book.written == 4800


def test_a_confirmation_is_exact_and_carried_forward_only_for_a_moment() -> None:
    book, _ = ledger(confirms=True)
    book.wrote(48000)
    assert book.confirm(0, 12000, 1.0)
    assert book.heard(1.0) == (12000, "exact")
    assert book.heard(1.1) == (14400, "exact")
    assert book.heard(9.0) == (12000 + 7200, "exact")


def test_a_confirmation_from_before_a_clear_never_counts() -> None:
    book, _ = ledger(confirms=True)
    book.wrote(48000)
    book.confirm(0, 12000, 1.0)
    epoch = book.cleared(48000)
    assert not book.confirm(0, 20000, 1.1)
    assert book.heard(1.1)[0] == 48000
    book.wrote(60000)
    assert book.confirm(epoch, 50000, 1.5)
    assert book.heard(1.5) == (50000, "exact")


def test_a_confirmation_of_what_was_never_written_is_refused() -> None:
    book, _ = ledger(confirms=True)
    book.wrote(480)
    assert not book.confirm(0, 481, 0.0)


def test_a_word_is_heard_when_more_than_half_of_it_was() -> None:
    book = reply("one", "two", "three")
    book.accepted(10_000, 0, 7200)
    assert book.heard(10_000, "exact").text == ""
    assert book.heard(10_000 + 1200, "exact").text == "one"
    assert book.heard(10_000 + 3599, "exact").text == "one"
    heard = book.heard(10_000 + 3600, "exact")
    assert (heard.text, heard.unheard, heard.samples) == ("one two", "three", 3600)
    assert heard.words == (("one", 10_000, 12_399), ("two", 12_400, 14_799))


def test_cleared_samples_are_never_heard_later() -> None:
    book = reply("one", "two", "three")
    book.accepted(0, 0, 7200)
    assert book.cut(3000) == 3000
    assert book.heard(1_000_000, "exact").samples == 3000
    assert book.heard(1_000_000, "exact").text == "one"


def test_a_word_begins_once_and_again_when_it_was_cut() -> None:
    words = reply("one", "two", "three")
    words.accepted(0, 0, 4000)
    assert [word.text for word in words.begin_words(4000)] == ["one", "two"]
    assert words.begin_words(4800) == []
    words.cut(2000)  # in the middle of the first: only the second will begin again
    words.accepted(9000, 2000, 3000)
    assert [word.text for word in words.begin_words(5000)] == ["two", "three"]


def test_a_resumed_reply_goes_on_from_the_cut() -> None:
    book = reply("one", "two", "three")
    book.accepted(0, 0, 3000)
    book.accepted(50_000, 3000, 4200)
    assert book.samples_heard(40_000) == 3000
    assert book.samples_heard(51_000) == 4000
    assert book.heard(60_000, "exact").text == "one two three"


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 5000)), min_size=1, max_size=20),
    st.integers(0, 80_000),
    st.integers(0, 80_000),
)
def test_heard_grows_with_the_position_and_a_cut_bounds_it(
    pieces: list[tuple[int, int]], cut: int, ear: int
) -> None:
    book = ReplyLedger()
    playout = sent = 0
    for length, gap in pieces:
        playout += gap
        book.accepted(playout, sent, length)
        playout += length
        sent += length
    before = book.samples_heard(min(cut, ear))
    assert book.samples_heard(cut) >= before
    first = book.cut(cut)
    assert book.samples_heard(10**9) == (sent if first is None else first)
    assert book.samples_heard(ear) <= book.samples_heard(10**9)
    assert book.last_playout <= cut or first is None


def test_what_was_heard_when_the_peer_was_lost_stays_however_often_that_is_said() -> None:
    book, _ = ledger()
    book.wrote(48000)
    book.hold(1.0)
    first = book.heard(1.0)
    book.hold(1.5)
    assert book.heard(9.0) == first
    assert book.release(48000) == first[0]


def test_a_reply_whose_first_samples_were_skipped_has_its_words_where_it_began() -> None:
    made = reply("one", "two")
    assert made.samples_heard(4800) == 0  # nothing of it was played
    made.accepted(playout=4800, reply=1200, length=3600)
    assert made.samples_heard(4800) == 0
    heard = made.heard(4800 + 3600, "exact")
    assert heard.words == (("one", 4800, 4800 + 1199), ("two", 4800 + 1200, 4800 + 3599))


def test_a_peer_that_says_what_it_played_is_believed_as_far_as_that_can_be() -> None:
    book, _ = ledger()
    book.wrote(48000)
    book.hold(0.5)
    assert book.release(48000, reported=(0, 12000)) == 12000
    book.wrote(60000)
    book.hold(9.0)
    assert book.release(60000, reported=(0, 50000)) == 60000  # from before the last release
    book.hold(9.0)
    assert book.release(60000, reported=(2, 999_999)) == 60000  # more than was written
    assert book.release(60000, reported=None) == 60000


def test_a_reply_lies_where_its_frames_were_mixed() -> None:
    made = reply("one", "two")
    assert (made.first_playout, made.last_playout, made.text) == (None, 0, "one two")
    assert made.cut(0) is None
    made.accepted(1000, 0, 480)
    made.accepted(1480, 480, 480)
    made.accepted(5000, 960, 480)
    assert (made.first_playout, made.last_playout) == (1000, 5480)
    assert made.samples_heard(4000) == 960
    assert made.cut(1240) == 240
    assert (made.first_playout, made.last_playout) == (1000, 1240)

from __future__ import annotations

import datetime

import pytest
import trio

from voicetrio.frames import TextFrame
from voicetrio.services.llm import Message
from voicetrio.services.local.arithmetic import answer_arithmetic
from voicetrio.services.local.bot import RuleBot, what_was_heard
from voicetrio.services.local.stories import STORIES


def ask(text: str, *before: Message) -> str:
    bot = RuleBot(now=lambda: datetime.datetime(2025, 11, 22, 15, 5))
    return bot.reply([Message("system", "Be kind."), *before, Message("user", text)])


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is twelve times seven", "Twelve times seven is eighty four."),
        ("What is 12 times 7?", "Twelve times seven is eighty four."),
        ("What's 12 x 7?", "Twelve times seven is eighty four."),
        ("12*7", "Twelve times seven is eighty four."),
        ("2 + 3 * 4 =", "Two plus three times four is fourteen."),
        ("How much is 10 divided by 4?", "Ten divided by four is two point five."),
        ("10 divided by 3", "Ten divided by three is about three point three three."),
        ("What is 12-7?", "Twelve minus seven is five."),
        (
            "What is a hundred and five minus 6.5?",
            "One hundred five minus six point five is ninety eight point five.",
        ),
        ("what is 3 minus 5", "Three minus five is minus two."),
        ("what is 15% of 80", "Fifteen percent of eighty is twelve."),
        ("Calculate seven squared plus one.", "Seven squared plus one is fifty."),
        ("what is 2 to the power of 10", "Two to the power of ten is one thousand twenty four."),
        ("what is 5 divided by 0", "I cannot divide by zero."),
        ("what is 9 to the power of 999999999", "That number is too large for me."),
        ("what is 99999999 times 999999999999", "That number is too large for me."),
    ],
)
def test_sums_are_worked_out(question, answer) -> None:
    assert ask(question) == answer


@pytest.mark.parametrize(
    "text", ["what is seven", "plus", "two nine", "what is life", "five times a lady", "", "3 + x"]
)
def test_what_is_no_sum_is_not_worked_out(text) -> None:
    assert answer_arithmetic(text) is None


@pytest.mark.parametrize(
    "said",
    ["29340", "29340.", "2-9-3-4-0", "2 9 3 4 0", "two nine three four zero", "Two, nine, three, four, oh."],
)
def test_digits_are_read_back_however_they_were_written(said) -> None:
    assert ask(said) == "You said two nine three four zero."


def test_digits_in_a_sentence_are_read_back_but_numbers_are_not() -> None:
    assert ask("My number is 555-1234.") == "You said five five five one two three four."
    assert ask("In 1999 I went home.").startswith("I heard you say: In 1999 I went home.")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("go forward ten meters", "Going forward ten meters."),
        ("Go forward 10 meters.", "Going forward ten meters."),
        ("Could you please turn on my lights?", "Turning on your lights."),
        ("Okay, set a timer for 5 minutes please.", "Setting a timer for five minutes."),
        ("Open the door", "Opening the door."),
    ],
)
def test_commands_are_acknowledged(command, answer) -> None:
    assert ask(command) == answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("What time is it?", "It is 3:05 pm."),
        ("What's the date today?", "Today is Saturday, November 22nd, 2025."),
        ("Hello!", "Hello! What can I do for you?"),
        ("THANK YOU", "You are welcome."),
        ("Yes.", "Good. What would you like to do?"),
        ("No, thanks.", "You are welcome."),
        ("no", "All right. Tell me if you need anything."),
        ("Goodbye.", "Goodbye, and thank you for talking to me."),
        ("", "I did not catch that. Could you say it again?"),
        ("He was not an ill disposed young man",
         "I heard you say: He was not an ill disposed young man. "
         "I have no answer to that, but I can help if you ask."),
    ],
)  # fmt: skip
def test_small_talk(said, answer) -> None:
    assert ask(said) == answer


def test_help_tells_what_it_can_do() -> None:
    assert "story" in ask("help")
    assert ask("What can you do?") == ask("Help me!")


def test_stories_are_long_and_change() -> None:
    first = ask("Tell me a story.")
    assert first == STORIES[0]
    # Nobody speaks faster than four words a second for long: 20 s need 80 words.
    assert min(len(story.split()) for story in STORIES) >= 100
    told = Message("assistant", STORIES[0][:40], interrupted=True, unheard=STORIES[0][40:])
    assert ask("another story please", told) == STORIES[1]
    assert ask("tell me a story", Message("assistant", STORIES[1])) == STORIES[0]


def test_it_tells_what_of_its_last_message_was_heard() -> None:
    cut = Message(
        "assistant", "Once upon a time, a lighthouse", interrupted=True, unheard=" stood on a rock."
    )
    heard = "You heard me say: Once upon a time, a lighthouse. Then you interrupted me."
    assert ask("What did you say?", cut) == heard
    going = Message("assistant", "Going forward ten meters.")
    assert ask("Say that again.", cut, going) == "I said: Going forward ten meters."
    assert ask("What did you say before I interrupted you?", cut, going) == heard
    assert ask("Repeat.", Message("assistant", "", interrupted=True, unheard="Hello")) == (
        "You interrupted me before you could hear a word."
    )
    assert ask("What did you say?") == "I have not said anything yet."
    assert what_was_heard([going], interrupted=True) == "You have not interrupted me."


def test_it_goes_on_with_what_was_not_heard() -> None:
    cut = Message("assistant", "Once upon", interrupted=True, unheard=" a time.")
    assert ask("go on", cut) == "a time."
    assert ask("Continue, please.") == "I had nothing more to say."


async def test_an_answer_is_streamed_in_small_pieces(autojump_clock) -> None:
    outlet, pieces = trio.open_memory_channel[TextFrame](100)
    began = trio.current_time()
    with outlet:
        await RuleBot(piece_s=0.5).answer([Message("user", "go home")], [], outlet)
    assert [piece.text async for piece in pieces] == ["Going", " home."]
    assert trio.current_time() - began == pytest.approx(0.5)

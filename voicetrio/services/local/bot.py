"""A deterministic partner for a conversation, with the interface of a language model.

It answers by a table of rules, tried from the top; the first that has an answer gives it.  The same
conversation gives the same answer, but for the time of day, whose clock can be given.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, final

import trio

from voicetrio.frames import TextFrame
from voicetrio.services.llm import LlmOutput, Message, ToolSpec
from voicetrio.services.local.arithmetic import answer_arithmetic
from voicetrio.services.local.stories import STORIES
from voicetrio.services.speech_text.numbers import read_digit, say_digits
from voicetrio.services.speech_text.spelling import spell_out

if TYPE_CHECKING:
    Rule: TypeAlias = Callable[["RuleBot", str, Sequence[Message]], str | None]

__all__ = ["RuleBot", "what_was_heard"]

_COMMANDS = {
    "go": "going", "move": "moving", "drive": "driving", "walk": "walking", "run": "running",
    "turn": "turning", "come": "coming", "open": "opening", "close": "closing", "play": "playing",
    "set": "setting", "start": "starting", "switch": "switching", "take": "taking", "bring": "bringing",
    "put": "putting", "call": "calling", "send": "sending", "lift": "lifting", "rotate": "rotating",
}  # fmt: skip
_MIRROR = {"my": "your", "me": "you", "your": "my", "mine": "yours", "myself": "yourself"}
_POLITE = re.compile(r"^(?:(?:please|okay|now|hey|well|and|so|then|um|uh|(?:can|could|would|will) you)\W+)+")
_FILLERS = frozenset({"and", "uh", "um", "the", "number", "is", "it's", "its", "my", "dash"})
_PHONE = re.compile(r"\d(?:-\d)+|\d{3}-\d{3,4}(?:-\d{4})?")

_HELP = (
    "I can tell you the time and the date, work out sums, read numbers back to you, "
    "follow simple commands, or tell you a story. You can interrupt me whenever you like."
)


@final
class RuleBot:
    """Answers by rules; one serves any number of conversations.

    Args:
        now: tells the local time; by default the computer's clock.
        piece_s: seconds between two pieces of an answer, as a language model would take.
    """

    def __init__(
        self, *, now: Callable[[], datetime.datetime] = datetime.datetime.now, piece_s: float = 0.0
    ) -> None:
        self.now = now
        """Tells the local time."""
        self._piece_s = piece_s

    async def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        outlet: trio.abc.SendChannel[LlmOutput],
    ) -> None:
        """Stream the answer to the last user message, word by word.  Tools are not used."""
        await trio.lowlevel.checkpoint()
        reply = self.reply(messages)
        for index, word in enumerate(reply.split(" ")):
            if index:
                await trio.sleep(self._piece_s)
            await outlet.send(TextFrame(f" {word}" if index else word))

    def reply(self, messages: Sequence[Message]) -> str:
        """Return the answer to the last user message of ``messages``."""
        said = next((message.text.strip() for message in reversed(messages) if message.role == "user"), "")
        if not any(character.isalnum() for character in said):
            return "I did not catch that. Could you say it again?"
        for rule in _RULES:
            if answer := rule(self, said, messages):
                return answer
        return f"I heard you say: {_sentence(said)} I have no answer to that, but I can help if you ask."


def what_was_heard(messages: Sequence[Message], *, interrupted: bool = False) -> str:
    """Tell what the user has heard of the agent's last message, or of the last interrupted one."""
    spoken = [message for message in messages if message.role == "assistant"]
    for message in reversed(spoken):
        if interrupted and not message.interrupted:
            continue
        if not message.interrupted:
            return f"I said: {_sentence(message.text)}"
        if not message.text.strip():
            return "You interrupted me before you could hear a word."
        return f"You heard me say: {message.text.strip().rstrip('.,;:!?')}. Then you interrupted me."
    return "You have not interrupted me." if interrupted and spoken else "I have not said anything yet."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text.rstrip(',;:')}."


# --- the rules -------------------------------------------------------------------------------------


def _matching(pattern: str, answer: str | Callable[[RuleBot, Sequence[Message]], str]) -> Rule:
    """Make a rule: where ``pattern`` is found in the lower-case text, say ``answer``."""
    compiled = re.compile(pattern)

    def rule(bot: RuleBot, said: str, messages: Sequence[Message]) -> str | None:
        if not compiled.search(said.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")):
            return None
        return answer if isinstance(answer, str) else answer(bot, messages)

    return rule


def _digits(_bot: RuleBot, said: str, _messages: Sequence[Message]) -> str | None:
    """Read digits back: "2-9-3-4-0", "29340" and "two nine three four zero" alike.

    A number in a sentence is not meant ("in 1999"), but three digits in a row or a long number are.
    """
    tokens = re.findall(r"\d+(?:-\d+)+|\d+|[a-z']+", re.sub(r"(?<=\d),(?=\d)", "", said.lower()))
    runs: list[list[str]] = [[]]
    alone = True
    for token in tokens:
        if token.isdecimal() or _PHONE.fullmatch(token):
            runs[-1].append(token.replace("-", ""))
        elif (digit := read_digit(token)) is not None:
            runs[-1].append(digit)
        else:
            runs.append([])
            alone = alone and token in _FILLERS
    longest = max(runs, key=lambda run: len("".join(run)))
    digits = "".join(longest)
    if len(longest) >= 3 or len(digits) >= 5 or (alone and len(digits) >= 2):
        return f"You said {say_digits(digits)}."
    return None


def _arithmetic(_bot: RuleBot, said: str, _messages: Sequence[Message]) -> str | None:
    """Work out a sum; but digits with dashes between them ("2-9-3-4-0") are no sum."""
    return None if _PHONE.fullmatch(said.strip(" .?!")) else answer_arithmetic(said)


def _command(_bot: RuleBot, said: str, _messages: Sequence[Message]) -> str | None:
    """Acknowledge a command: "Go forward 10 meters." is answered "Going forward ten meters."."""
    words = _POLITE.sub("", said.lower()).split()
    if not words or words[0].strip(".,!?") not in _COMMANDS:
        return None
    written = " ".join(words[1:]).rstrip(".!?,").removesuffix(" please").rstrip(",")
    rest = [spoken for word in spell_out(written) for spoken in word.spoken]
    doing = " ".join([_COMMANDS[words[0].strip(".,!?")], *(_MIRROR.get(word, word) for word in rest)])
    return f"{doing.capitalize()}."


def _time(bot: RuleBot, _messages: Sequence[Message]) -> str:
    now = bot.now()
    return f"It is {now.hour % 12 or 12}:{now.minute:02d} {'am' if now.hour < 12 else 'pm'}."


def _date(bot: RuleBot, _messages: Sequence[Message]) -> str:
    now = bot.now()
    ending = "th" if 10 <= now.day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(now.day % 10, "th")
    return f"Today is {now:%A}, {now:%B} {now.day}{ending}, {now.year}."


def _story(_bot: RuleBot, messages: Sequence[Message]) -> str:
    """Tell the story that follows the last one told."""
    for message in reversed(messages):
        for index, story in enumerate(STORIES):
            # An interrupted story is known by its beginning, what was heard of it and what was not.
            if message.role == "assistant" and (message.text + message.unheard).startswith(story[:12]):
                return STORIES[(index + 1) % len(STORIES)]
    return STORIES[0]


def _go_on(bot: RuleBot, messages: Sequence[Message]) -> str:
    """Say what the user did not let it say."""
    for message in reversed(messages):
        if message.role == "assistant" and message.interrupted and message.unheard.strip():
            return message.unheard.strip()
    return "I had nothing more to say."


_RULES: Sequence[Rule] = (
    _matching(
        r"\bwhat (?:did|have) (?:you|i) (?:say|said|hear|heard).*\b(?:interrupt|before|cut)",
        lambda _bot, messages: what_was_heard(messages, interrupted=True),
    ),
    _matching(
        r"\bwhat (?:did you (?:just )?say|have you said|was that|did i hear)\b"
        r"|\b(?:say|repeat) (?:that|it|what you said)\b|^\W*(?:repeat|pardon|sorry|come again)\W*$",
        lambda _bot, messages: what_was_heard(messages),
    ),
    _matching(r"^\W*(?:please )?(?:go on|continue|carry on|keep going)\b", _go_on),
    _arithmetic,
    _command,
    _digits,
    _matching(r"\b(?:what(?:'s| is)? (?:the )?time|what time|tell me the time|how late is it)\b", _time),
    _matching(
        r"\bwhat(?:'s| is)? (?:the |today's )?(?:date|day)\b|\bwhat day\b|\b(?:today's|tell me the) date\b",
        _date,
    ),
    _matching(
        r"\b(?:tell|read|give) (?:me|us) (?:a|another|the|your) (?:\w+ )?story\b|\banother story\b", _story
    ),
    _matching(r"\bwhat can you do\b|\bhelp\b|\bwhat can i (?:say|ask)\b", _HELP),
    _matching(
        r"\b(?:who|what) are you\b|\bwhat(?:'s| is) your name\b",
        "I am a small voice agent, and I follow simple rules.",
    ),
    _matching(r"\bhow are you\b", "I am fine, thank you. How can I help you?"),
    _matching(
        r"\b(?:goodbye|good bye|bye|see you|good night)\b", "Goodbye, and thank you for talking to me."
    ),
    _matching(r"\b(?:thanks|thank you|cheers)\b", "You are welcome."),
    _matching(
        r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening)|greetings)\b",
        "Hello! What can I do for you?",
    ),
    _matching(r"^\W*(?:yes|yeah|yep|sure|okay|ok|all right|of course)\b", "Good. What would you like to do?"),
    _matching(r"^\W*(?:no|nope|not really|never mind)\b", "All right. Tell me if you need anything."),
    _matching(r"^\W*(?:stop|be quiet|quiet|wait|enough|silence)\W*$", "All right."),
)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.conversation.context import STILL_RUNNING, AssistantEntry, ConversationContext
from voicetrio.services.llm import Message, ToolCall


def test_messages_come_in_order_with_the_instructions_in_front():
    context = ConversationContext()
    context.add_user("hello")
    entry = AssistantEntry("Hi  there,\nfriend.")
    context.attach(entry)
    context.attach(entry)
    context.add_note("it rains")
    assert context.messages("Be nice.") == (
        Message("system", "Be nice."),
        Message("user", "hello"),
        Message("assistant", "Hi there, friend."),
        Message("system", "it rains"),
    )


def test_an_interrupted_reply_ends_where_it_was_heard():
    context = ConversationContext()
    entry = AssistantEntry("One two three.")
    context.attach(entry)
    entry.settle("One")
    assert context.messages() == (Message("assistant", "One", interrupted=True, unheard="two three."),)


def test_a_reply_that_was_heard_is_not_interrupted():
    entry = AssistantEntry("One two.")
    entry.settle(None)
    assert entry.messages() == [Message("assistant", "One two.")]


def test_an_empty_reply_is_no_message():
    assert AssistantEntry().messages() == []


def test_what_never_happened_is_taken_back():
    context = ConversationContext()
    user = context.add_user("hello")
    context.remove(user)
    context.remove(user)
    context.remove(None)
    assert context.messages() == ()


def test_equal_messages_are_not_the_same_message():
    context = ConversationContext()
    context.add_user("yes")
    second = context.add_user("yes")
    context.remove(second)
    assert len(context.messages()) == 1


def test_a_call_has_one_result_at_any_time():
    entry = AssistantEntry(calls=(ToolCall("a", "f", {}), ToolCall("b", "g", {})))
    assert [message.text for message in entry.messages()[1:]] == [STILL_RUNNING] * 2
    assert entry.settle_result("a", "one")
    assert not entry.settle_result("a", "another")
    assert [message.text for message in entry.messages()[1:]] == ["one", STILL_RUNNING]


@given(st.lists(st.text(alphabet="ab .,", min_size=0, max_size=6), max_size=12), st.integers(0, 12))
def test_heard_and_unheard_are_the_text(pieces, heard_words):
    entry = AssistantEntry()
    for piece in pieces:
        entry.add_text(piece)
    words = entry.text.split()
    entry.settle(" ".join(words[:heard_words]))
    assert f"{entry.heard} {entry.unheard}".strip() == entry.text


@pytest.mark.parametrize("heard", ["One two", "One"])
def test_a_voice_that_respells_words_still_leaves_a_sensible_rest(heard):
    entry = AssistantEntry("One two 3.")
    entry.settle(heard)
    assert entry.unheard == "One two 3."[len(heard) + 1 :]

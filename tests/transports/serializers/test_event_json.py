from __future__ import annotations

import json

import attrs

from voicetrio import events
from voicetrio.events import Event, Failure, ReplyEnded, TaskStuck, Transcript, TranscriptWord
from voicetrio.transports.serializers.event_json import EVENT_NAMES, EVENTS_NOT_TOLD, encode_event


def test_each_event_is_told_or_kept_on_purpose():
    public = [getattr(events, name) for name in events.__all__]
    every = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Event)}
    assert set(EVENT_NAMES) | EVENTS_NOT_TOLD == every - {Event}
    assert not set(EVENT_NAMES) & EVENTS_NOT_TOLD
    assert len(set(EVENT_NAMES.values())) == len(EVENT_NAMES)


def test_nested_values_become_objects_and_lists():
    event = Transcript(
        position=320, time=1.5, text="hi", final=True, start=0, words=(TranscriptWord("hi", 0, 320),)
    )
    assert encode_event(event) == {
        "event": "transcript",
        "position": 320,
        "time": 1.5,
        "text": "hi",
        "final": True,
        "start": 0,
        "words": [{"text": "hi", "start": 0, "end": 320}],
        "decode_s": None,
    }


def test_places_and_times_that_are_not_known_are_absent():
    encoded = encode_event(events.UserAway(count=1))
    assert encoded == {"event": "user_away", "count": 1}


def test_tuples_of_words_survive_json():
    event = ReplyEnded(
        reply="reply-1",
        source="say",
        text="a b",
        heard="a",
        how="interrupted",
        heard_quality="exact",
        words=(("a", 0, 10),),
    )
    assert json.loads(json.dumps(encode_event(event)))["words"] == [["a", 0, 10]]


def test_of_a_failure_only_the_kind_is_told():
    encoded = encode_event(Failure(where="tts", error=ValueError("secret key 123")))
    assert encoded == {"event": "failure", "where": "tts", "error": "ValueError", "repeated": 0}


def test_what_is_nobody_elses_business_is_not_told():
    assert encode_event(TaskStuck(task="t", where="w", why="y")) is None

    @attrs.frozen(kw_only=True)
    class Mine(Event):
        pass

    assert encode_event(Mine()) is None

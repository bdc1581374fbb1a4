from voicetrio.machines.presence import Presence


def test_away_is_told_once_a_span_of_silence_with_its_number():
    presence = Presence(15.0, now=0.0)
    assert presence.tick(14.9) is None
    assert presence.tick(15.0) == 1
    assert presence.deadline == 30.0
    assert presence.tick(30.0) == 2


def test_nobody_is_away_while_somebody_speaks():
    presence = Presence(15.0, now=0.0)
    presence.busy()
    assert presence.deadline is None
    assert presence.tick(100.0) is None
    presence.quiet(100.0)
    assert presence.deadline == 115.0


def test_the_agent_asking_does_not_start_the_count_again_but_the_user_does():
    presence = Presence(15.0, now=0.0)
    assert presence.tick(15.0) == 1
    presence.busy()
    presence.quiet(20.0)
    assert presence.tick(35.0) == 2
    presence.user_acted(36.0)
    assert presence.tick(50.9) is None
    assert presence.tick(51.0) == 1


def test_quiet_told_twice_does_not_prolong_the_wait():
    presence = Presence(15.0, now=0.0)
    presence.quiet(10.0)
    assert presence.deadline == 15.0


def test_without_a_span_nobody_is_ever_away():
    presence = Presence(None, now=0.0)
    assert presence.deadline is None
    assert presence.tick(1e9) is None


def test_a_user_who_acts_while_somebody_is_busy_ends_the_count_and_nothing_else():
    presence = Presence(15.0, now=0.0)
    assert presence.tick(15.0) == 1
    presence.busy()
    presence.user_acted(16.0)
    assert presence.deadline is None
    presence.quiet(20.0)
    assert presence.tick(35.0) == 1

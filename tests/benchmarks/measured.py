"""Sides for the tests of the harness: they measure nothing."""

calls = 0


def count() -> dict[str, float]:
    """Count the calls in this process."""
    global calls
    calls += 1
    print("what a library prints is no answer")
    return {"calls": calls}


def constant(value: float) -> dict[str, float]:
    """Return what was asked for."""
    return {"value": value}


def broken() -> dict[str, float]:
    """Fail."""
    raise ValueError("no such thing")

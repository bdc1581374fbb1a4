"""The properties have teeth: each catches the runtimes that are broken in its way, and no other."""

from __future__ import annotations

import pytest

from tests.properties.claims import CLAIMS
from tests.properties.mutants import MOST_SEEDS, MUTANTS, Mutant, main, try_mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_runtime_is_caught(mutant: Mutant) -> None:
    verdict = try_mutant(mutant)
    assert verdict.seeds is not None, f"{mutant.name} survived {MOST_SEEDS} seeds of {mutant.claim.__name__}"
    # An error of nobody's is the mutant's own: it does not fit the runtime any more, and proves nothing.
    assert "nobody's fault" not in verdict.finding, verdict.finding


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_the_runtime_itself_is_not_caught(claim: object) -> None:
    for seed in range(15):
        claim(seed)  # type: ignore[operator]


def test_the_table_has_a_line_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.properties.mutants.MUTANTS", MUTANTS[:1])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["mutant", "property", "seeds", "finding"]
    assert lines[1].startswith("a mixer with its own loop")

"""The guide to testing tells the truth: its bug is found, and its mend mends it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"


@pytest.fixture
def blocks() -> list[str]:
    return re.findall(r"^```python\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def write(pytester: pytest.Pytester, *blocks: str) -> None:
    for block in blocks:
        name = re.match(r"# (\w+)\.py\n", block)
        assert name is not None
        pytester.makepyfile(**{name[1]: block})


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "-p", "voicetrio.testing.plugin", "-p", "no:cacheprovider", *arguments
    )


def test_the_guide_s_bug_is_found_and_its_mend_passes(
    blocks: list[str], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PAGE.parent.parent))
    buggy, tests, mended, anything = blocks
    write(pytester, buggy, tests)
    found = run(pytester)
    found.assert_outcomes(passed=21, failed=1)
    said = re.findall(r"^    (SimulationFailed: .+)\n    (replay: .+)$", PAGE.read_text(), re.MULTILINE)[0]
    found.stdout.fnmatch_lines([f"*{said[0]}*", f"*{re.sub(r'[0-9]+$', '*', said[1])}"])
    write(pytester, mended, anything)
    run(pytester, "--voicetrio-seeds", "2").assert_outcomes(passed=5)

"""What the project's own files promise each other."""

from __future__ import annotations

import re
from pathlib import Path

from voicetrio.version import __version__

ROOT = Path(__file__).parent.parent


def shell_commands() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.+?)\n```$", readme, flags=re.MULTILINE | re.DOTALL)


def test_the_readme_has_two_commands_the_demo_first_and_the_tests_second() -> None:
    demo, tests = shell_commands()
    assert demo.endswith("voicetrio demo")
    assert "[local]" in demo
    assert tests.endswith("python -m pytest -n auto")
    assert "[test]" in tests


def test_ci_runs_the_readmes_test_command() -> None:
    # .ci/run takes the first line of the README that holds this, and nothing else decides what it runs.
    _, tests = shell_commands()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert next(line for line in readme.splitlines() if "-m pytest" in line) == tests
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "grep -m1 -E -- '-m pytest' README.md" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_both_licences_are_there_in_full() -> None:
    assert "Permission is hereby granted" in (ROOT / "LICENSE-MIT").read_text(encoding="utf-8")
    assert "END OF TERMS AND CONDITIONS" in (ROOT / "LICENSE-APACHE").read_text(encoding="utf-8")


def test_the_changelog_speaks_of_this_version_or_of_what_is_not_yet_released() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog


def test_every_relative_link_of_the_documents_leads_somewhere() -> None:
    broken = []
    for document in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\(([^)]+)\)", prose(document)):
            target, _, anchor = link.partition("#")
            if "://" not in link:
                leads_to = document.parent / target if target else document
                if not leads_to.exists() or (anchor and anchor not in anchors(leads_to)):
                    broken.append(f"{document.name}: {link}")
    assert not broken


def prose(document: Path) -> str:
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """Return what links can name in a page: its headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

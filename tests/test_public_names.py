"""The names that ``import voicetrio`` offers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import voicetrio
import voicetrio.audio
import voicetrio.conversation


@pytest.mark.parametrize("name", voicetrio.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(voicetrio, name) is not None
    assert name in dir(voicetrio)


@pytest.mark.parametrize("package", [voicetrio.audio, voicetrio.conversation])
def test_what_a_package_loads_late_is_there_like_the_rest(package) -> None:
    assert set(package.__all__) <= set(dir(package))
    late = {name for names in package._LATE.values() for name in names}
    assert late < set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_type_checkers_and_programs_see_the_same_names() -> None:
    tree = ast.parse(Path(voicetrio.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.module is not None
        home = importlib.import_module(node.module)
        for alias in node.names:
            assert getattr(voicetrio, alias.name) is getattr(home, alias.name)
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(voicetrio.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'no_such_name'"):
        voicetrio.no_such_name  # noqa: B018


def test_importing_the_package_imports_nothing_that_costs_time() -> None:
    code = "import sys, voicetrio; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"trio", "numpy", "av", "websockets"} & set(done.stdout.split())

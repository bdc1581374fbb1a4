"""The shape of the package: who may import whom, what is documented, how large a thing may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import attrs
import pytest

PACKAGE = Path(__file__).parent.parent / "voicetrio"

# Each row may import from itself and from the rows before it.
ROWS = (
    ("errors", "late", "values", "frames", "events", "data", "version"),
    ("audio",),
    ("machines",),
    ("runtime",),
    ("connection",),
    ("services",),
    ("conversation",),
    ("transports",),
    ("server",),
    ("",),  # voicetrio/__init__.py, the public names
    ("testing",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}

MOST_LINES_OF_A_MODULE = 600
MOST_LINES_OF_A_FUNCTION = 60


@attrs.frozen
class Module:
    """One source file of the package."""

    name: str
    path: Path
    tree: ast.Module = attrs.field(repr=False)
    lines: int

    @property
    def part(self) -> str:
        """The part of the package that it belongs to: ``audio``, ``cli``, …; empty for the top."""
        return (self.name + ".").split(".")[1]

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


def load_module(path: Path) -> Module:
    parts = ("voicetrio", *path.relative_to(PACKAGE).with_suffix("").parts)
    source = path.read_text(encoding="utf-8")
    name = ".".join(parts).removesuffix(".__init__")
    return Module(name, path, ast.parse(source), len(source.splitlines()))


MODULES = {module.name: module for module in map(load_module, sorted(PACKAGE.rglob("*.py")))}


@attrs.frozen
class Import:
    target: str
    line: int
    only_types: bool


def imports_of(module: Module) -> Iterator[Import]:
    """Yield what ``module`` imports from anywhere, wherever in the file it does."""
    only_types = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in only_types)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in MODULES else base, node.lineno, id(node) in only_types)


def absolute_base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    package = parts if module.is_package else parts[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def own_imports(module: Module) -> Iterator[tuple[Module, Import]]:
    for found in imports_of(module):
        if found.target in MODULES:
            yield MODULES[found.target], found


@pytest.fixture(params=MODULES.values(), ids=lambda module: module.name)
def module(request: pytest.FixtureRequest) -> Module:
    return request.param


def test_every_part_has_a_row() -> None:
    assert {module.part for module in MODULES.values()} <= RANK.keys()


def test_a_module_imports_from_its_own_row_or_the_rows_before_it(module: Module) -> None:
    wrong = [
        f"{module.path.name}:{found.line} imports {target.name}"
        for target, found in own_imports(module)
        if RANK[target.part] > RANK[module.part]
    ]
    assert not wrong


def test_only_the_command_imports_the_test_kit_and_nothing_imports_the_command(module: Module) -> None:
    allowed = {"testing": ("testing", "cli"), "cli": ("cli", "__main__")}
    wrong = [
        f"{module.path.name}:{found.line} imports {target.name}"
        for target, found in own_imports(module)
        if module.part not in allowed.get(target.part, (module.part,))
    ]
    assert not wrong


def test_imports_make_no_cycle() -> None:
    # A package and its modules are not the same here: a module that imports a name from its own
    # package's __init__ makes a cycle with it, and that is found.
    graph = {
        module.name: {target.name for target, found in own_imports(module) if not found.only_types}
        - {module.name}
        for module in MODULES.values()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_a_machine_does_no_io_and_knows_no_trio() -> None:
    forbidden = {
        "trio",
        "asyncio",
        "anyio",
        "socket",
        "threading",
        "time",
        "subprocess",
        "pathlib",
        "os",
        "io",
    }
    wrong = [
        f"{module.path.name}:{found.line} imports {found.target}"
        for module in MODULES.values()
        if module.part == "machines"
        for found in imports_of(module)
        if found.target.split(".")[0] in forbidden and not found.only_types
    ]
    assert not wrong


def test_no_code_reads_another_clock_than_trios(module: Module) -> None:
    # The local bot tells the time of day: it is given a clock, whose default is datetime's.
    forbidden = {"time.time", "time.monotonic", "time.perf_counter", "time.sleep"}
    wrong = [
        f"{module.path.name}:{node.lineno} calls {ast.unparse(node.func)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in forbidden
    ]
    assert not wrong


def test_a_module_is_small_enough_to_be_read(module: Module) -> None:
    assert module.lines <= MOST_LINES_OF_A_MODULE


def test_a_function_fits_one_screen(module: Module) -> None:
    long = [
        f"{module.path.name}:{node.lineno} {node.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert not long


def test_a_module_says_what_it_is(module: Module) -> None:
    if module.tree.body:
        assert ast.get_docstring(module.tree)


def test_public_names_are_listed_by_hand(module: Module) -> None:
    """A module that defines public names lists them; what is listed exists."""
    listed = public_names(module)
    defined = {
        node.name
        for node in module.tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
    }
    if module.part == "__main__" or not module.tree.body:
        return
    assert not defined or listed, "no __all__"
    assert set(listed) <= names_bound(module)


def test_every_public_name_has_a_docstring(module: Module) -> None:
    wrong = [
        f"{module.path.name}:{node.lineno} {name}"
        for name, node in public_definitions(module)
        if not ast.get_docstring(node)
    ]
    assert not wrong


def public_names(module: Module) -> list[str]:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def names_bound(module: Module) -> set[str]:
    """Return every name that the module binds at its top level."""
    bound: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    if module.is_package:
        bound |= {name.rsplit(".", 1)[1] for name in MODULES if name.startswith(module.name + ".")}
    return bound


def public_definitions(
    module: Module,
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield the public functions and classes of the module, and the public methods of those classes.

    Overloads carry no docstring, and a setter's is its property's.
    """
    names = set(public_names(module))
    for node in module.tree.body:
        if (
            not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            or node.name not in names
        ):
            continue
        if not is_overload(node):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if (
                    isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))
                    and not inner.name.startswith("_")
                    and not is_overload(inner)
                ):
                    yield f"{node.name}.{inner.name}", inner


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(name.endswith(("overload", ".setter", ".deleter")) for name in names)

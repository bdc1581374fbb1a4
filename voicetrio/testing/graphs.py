"""Descriptions of pipelines: small values that can be drawn, printed, shrunk, and built as often as needed.

A graph is a row of nodes.  A node is a ``Leaf`` (one stage or transform), a ``Nested`` row, a row of branches
``Beside`` each other, or a ``Failover``.  Its text is the code that makes it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, final

import attrs
import numpy as np

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame
from voicetrio.runtime.parallel import Parallel
from voicetrio.runtime.pipeline import Pipeline, PipelinePart, pipeline
from voicetrio.runtime.switch import Switch
from voicetrio.runtime.transforms import transform
from voicetrio.testing.faults import stages

__all__ = [
    "Beside",
    "Failover",
    "Graph",
    "Leaf",
    "LeafKind",
    "Nested",
    "Node",
    "build",
    "draw_graph",
    "leaves",
]

LeafKind: TypeAlias = Literal[
    "pass", "slow", "swallow", "shield", "cleanup", "fail", "fail_cleanup", "impatient", "never_end", "burst",
    "silent", "gain", "halves", "thin", "hold",
]  # fmt: skip
"""What one leaf is; the last four are transforms."""


@final
@attrs.frozen
class Leaf:
    """One stage or transform; what ``value`` means depends on the kind.

    Seconds for ``slow`` and ``cleanup``, and for ``shield``, where infinite means without a deadline; frames
    for ``fail``, ``impatient``, ``burst`` and ``hold``; a count for ``swallow``; for ``thin`` n drops every
    n-th frame.
    """

    kind: LeafKind = attrs.field()
    value: float = 1

    @kind.validator
    def _is_known(self, _attribute: attrs.Attribute[str], kind: str) -> None:
        if kind not in _MAKERS:
            raise ConfigError(f"{kind!r} is no kind of leaf: use one of {', '.join(_MAKERS)}")


@final
@attrs.frozen
class Nested:
    """A pipeline inside of a pipeline."""

    nodes: tuple[Node, ...]


@final
@attrs.frozen
class Beside:
    """Branches on one inlet and one outlet: a ``Parallel``."""

    branches: tuple[tuple[Node, ...], ...]


@final
@attrs.frozen
class Failover:
    """Branches that take over from each other: a ``Switch``."""

    branches: tuple[tuple[Node, ...], ...]


Node: TypeAlias = Leaf | Nested | Beside | Failover
"""One part of a graph."""
Graph: TypeAlias = tuple[Node, ...]
"""Nodes in a row; the empty graph passes everything on."""


# --- building --------------------------------------------------------------------------------------


class _Hold:
    """A transform that keeps the last frames back until the end."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: list[Any] = []

    def __call__(self, frame: Any) -> Any:
        self._held.append(frame)
        return self._held.pop(0) if len(self._held) > self._count else None

    def flush(self) -> list[Any]:
        held, self._held = self._held, []
        return held


class _Thin:
    """A transform that drops every so-many-th frame."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._seen = 0

    def __call__(self, frame: Any) -> Any:
        self._seen += 1
        return None if self._seen % self._every == 0 else frame


def _gain(frame: Any) -> Any:
    return frame.with_samples(frame.samples * np.float32(0.5)) if isinstance(frame, AudioFrame) else frame


def _halves(frame: Any) -> Any:
    if not isinstance(frame, AudioFrame) or frame.sample_count < 2:
        return frame
    middle = frame.sample_count // 2
    return [frame.cut(0, middle), frame.cut(middle, frame.sample_count)]


_MAKERS: Final[Mapping[str, Callable[[float], PipelinePart]]] = {
    "pass": lambda _: stages.PassingStage(),
    "slow": stages.SlowStage,
    "swallow": lambda value: stages.SwallowingStage(int(value)),
    "shield": lambda value: stages.ShieldingStage(deadline_s=None if value == float("inf") else value),
    "cleanup": stages.SlowCleanupStage,
    "fail": lambda value: stages.FailingStage(int(value)),
    "fail_cleanup": lambda _: stages.FailingCleanupStage(),
    "impatient": lambda value: stages.ImpatientStage(int(value)),
    "never_end": lambda _: stages.NeverEndingStage(),
    "burst": lambda value: stages.BurstStage(max(1, int(value))),
    "silent": lambda _: stages.SilentStage(),
    "gain": lambda _: transform(_gain),
    "halves": lambda _: transform(_halves),
    "thin": lambda value: transform(_Thin(max(2, int(value)))),
    "hold": lambda value: transform(_Hold(int(value))),
}


def build(graph: Graph, *ends: PipelinePart, link_items: float = 1, name: str = "graph") -> Pipeline:
    """Return a new pipeline of ``graph``, followed by ``ends`` (a sink, say)."""
    parts = [_part(node, link_items) for node in graph]
    return pipeline(*(parts or [stages.PassingStage()]), *ends, name=name, link_items=link_items)


def _part(node: Node, link_items: float) -> PipelinePart:
    match node:
        case Leaf(kind=kind, value=value):
            return _MAKERS[kind](value)
        case Nested(nodes=nodes):
            return build(nodes, link_items=link_items, name="nested")
        case Beside(branches=branches):
            return Parallel(*(build(branch, name="branch") for branch in branches), link_items=link_items)
        case Failover(branches=branches):
            return Switch(*(_factory(branch) for branch in branches))


def _factory(branch: Graph) -> Callable[[], PipelinePart]:
    return lambda: build(branch, name="reserve")


def leaves(graph: Graph) -> list[Leaf]:
    """Return every leaf of ``graph``, in order."""
    found: list[Leaf] = []
    for node in graph:
        match node:
            case Leaf():
                found.append(node)
            case Nested(nodes=nodes):
                found.extend(leaves(nodes))
            case Beside(branches=branches) | Failover(branches=branches):
                for branch in branches:
                    found.extend(leaves(branch))
    return found


# --- drawing ---------------------------------------------------------------------------------------

VALUES: Final[Mapping[str, tuple[float, ...]]] = {
    "slow": (0.005, 0.03, 0.5),
    "swallow": (1, 2),
    "shield": (0.3, float("inf")),
    "cleanup": (0.1, 3.0),
    "fail": (0, 3, 12),
    "impatient": (0, 2, 9),
    "burst": (2, 7),
    "thin": (2, 5),
    "hold": (1, 4),
}
"""The values that are worth trying, by kind; the others have none."""

_HARMLESS: Final[tuple[LeafKind, ...]] = (
    "pass",
    "slow",
    "burst",
    "gain",
    "halves",
    "thin",
    "hold",
    "cleanup",
)
_HARMFUL: Final[tuple[LeafKind, ...]] = (
    "swallow", "shield", "fail", "fail_cleanup", "impatient", "never_end", "silent",
)  # fmt: skip


def draw_graph(draws: random.Random, *, depth: int = 2, harm: float = 0.3) -> Graph:
    """Return a graph of at most three nodes a row; ``harm`` is the part of its leaves that do harm."""
    return tuple(_draw_node(draws, depth, harm) for _ in range(draws.randint(0, 3)))


def _draw_node(draws: random.Random, depth: int, harm: float) -> Node:
    choice = draws.random()
    if depth == 0 or choice < 0.7:
        kind: LeafKind = draws.choice(_HARMFUL if draws.random() < harm else _HARMLESS)
        return Leaf(kind, draws.choice(VALUES.get(kind, (1,))))
    if choice < 0.8:
        return Nested(draw_graph(draws, depth=depth - 1, harm=harm))
    branches = tuple(draw_graph(draws, depth=depth - 1, harm=harm) for _ in range(draws.randint(1, 3)))
    return Beside(branches) if choice < 0.9 else Failover(branches)

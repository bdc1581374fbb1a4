"""Plans as text: what a failing test prints is what the command reads.

The text is the plan's ``repr``: calls of the names in ``voicetrio.testing``'s plans, with numbers, texts and
tuples in them, and nothing else.  It is read, not executed.
"""

from __future__ import annotations

import ast
import math
from typing import Any, Final

from voicetrio.errors import ConfigError
from voicetrio.testing import behaviours, graphs, operations, plans
from voicetrio.testing.faults.services import ServiceFault

__all__ = ["parse_plan"]

_CLASSES: Final = {
    kind.__name__: kind
    for kind in (
        plans.SessionPlan, plans.PeerPlan,
        behaviours.Talk, behaviours.Echo, behaviours.Converse, ServiceFault,
        graphs.Leaf, graphs.Nested, graphs.Beside, graphs.Failover,
        operations.Wait, operations.Send, operations.BargeIn, operations.Flush, operations.End,
        operations.Cancel, operations.Disconnect, operations.EndSource, operations.StopReading,
        operations.ResumeReading, operations.FailService, operations.Press,
    )
}  # fmt: skip


def parse_plan(text: str) -> plans.SessionPlan:
    """Return the plan that ``text`` is the ``repr`` of.

    Raises:
        ConfigError: it is not; says what was not understood.
    """
    try:
        plan = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError) as exc:
        raise ConfigError(f"this is not the text of a plan: {exc}") from exc
    if not isinstance(plan, plans.SessionPlan):
        raise ConfigError(f"this is the text of a {type(plan).__name__}, not of a SessionPlan")
    return plan


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id="inf"):
            return math.inf
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.Tuple(elts=elements):
            return tuple(map(_value, elements))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords) if name in _CLASSES:
            named = {keyword.arg or "": _value(keyword.value) for keyword in keywords}
            return _CLASSES[name](*map(_value, arguments), **named)
        case _:
            raise ValueError(f"{ast.unparse(node)} has no place in it")

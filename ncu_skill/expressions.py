"""Expressions of the playbook: arithmetic and comparisons over fact names, parsed with `ast`, nothing else allowed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import cache

from ncu_skill.errors import NcuSkillError
from ncu_skill.facts import Facts

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.NotEq: operator.ne,
}
_CALLS: dict[str, Callable[..., float]] = {"min": min, "max": max}


@cache
def parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def names(text: str) -> list[str]:
    """Fact names that an expression uses."""
    return sorted({node.id for node in ast.walk(parse(text)) if isinstance(node, ast.Name)} - set(_CALLS))


def evaluate(text: str, facts: Facts) -> float:
    """The value; a fact that the report does not hold counts as zero."""
    return _value(parse(text), facts)


def holds(text: str, facts: Facts) -> bool:
    return bool(evaluate(text, facts))


def _value(node: ast.expr, facts: Facts) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return facts.number(node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left, facts), _value(node.right, facts))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
        return float(_COMPARE[type(node.ops[0])](_value(node.left, facts), _value(node.comparators[0], facts)))
    if isinstance(node, ast.BoolOp):
        values = [_value(item, facts) for item in node.values]
        return float(all(values) if isinstance(node.op, ast.And) else any(values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        return _CALLS[node.func.id](*(_value(item, facts) for item in node.args))
    raise NcuSkillError(f"the playbook has an expression that is not allowed: {ast.unparse(node)}")

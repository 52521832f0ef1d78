"""Expressions of the playbook: arithmetic and comparisons over fact names, as trees of lists; nothing else is allowed.

A tree is a number, a fact name, or [operator, operand…]. The compiled tables hold the trees, so that reading a report needs no parser.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ncu_skill.data import table

if TYPE_CHECKING:
    from ncu_skill.facts import Facts

Tree = Any  # float | str | list[Tree]
_OPERATORS: dict[str, Callable[..., float]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "NotEq": operator.ne,
    "min": min,
    "max": max,
}


@cache
def parse(text: str) -> Tree:
    """The tree of an expression, from the compiled tables where they hold it."""
    trees = table("expressions")
    if text in trees:
        return trees[text]
    from ncu_skill.grammar import compiled

    return compiled(text)


def names(text: str) -> list[str]:
    """Fact names that an expression uses."""
    found: set[str] = set()
    _collect(parse(text), found)
    return sorted(found)


def _collect(tree: Tree, found: set[str]) -> None:
    if isinstance(tree, str):
        found.add(tree)
    elif isinstance(tree, list):
        for part in tree[1:]:
            _collect(part, found)


def evaluate(text: str, facts: Facts) -> float:
    """The value; a fact that the report does not hold counts as zero, and so does a division by zero."""
    return _value(parse(text), facts)


def holds(text: str, facts: Facts) -> bool:
    return bool(evaluate(text, facts))


def _value(tree: Tree, facts: Facts) -> float:
    if isinstance(tree, str):
        return facts.number(tree)
    if not isinstance(tree, list):
        return float(tree)
    name, parts = tree[0], tree[1:]
    if name == "And":
        return float(all(_value(part, facts) for part in parts))
    if name == "Or":
        return float(any(_value(part, facts) for part in parts))
    values = [_value(part, facts) for part in parts]
    if name == "Div":
        return values[0] / values[1] if values[1] else 0.0
    return float(_OPERATORS[name](*values))

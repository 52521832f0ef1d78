"""Grammar: expressions of the playbook parsed into trees of lists; arithmetic, comparisons, min and max over fact names, nothing else."""

from __future__ import annotations

import ast
from typing import Any

from ncu_skill.errors import NcuSkillError

Tree = Any  # float | str | list[Tree]
ALLOWED = frozenset({"Add", "Sub", "Mult", "Div", "Lt", "LtE", "Gt", "GtE", "NotEq", "min", "max"})


def compiled(text: str) -> Tree:
    """The tree of an expression, parsed now."""
    return _tree(ast.parse(text, mode="eval").body)


def _tree(node: ast.expr) -> Tree:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.BoolOp):
        return [type(node.op).__name__, *map(_tree, node.values)]
    if isinstance(node, ast.BinOp):
        found = [type(node.op).__name__, _tree(node.left), _tree(node.right)]
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        found = [type(node.ops[0]).__name__, _tree(node.left), _tree(node.comparators[0])]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        found = [node.func.id, *map(_tree, node.args)]
    else:
        found = ["?"]
    if found[0] not in ALLOWED:
        raise NcuSkillError(f"the playbook has an expression that is not allowed: {ast.unparse(node)}")
    return found

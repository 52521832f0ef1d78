"""Module facts: what one Python source binds, imports, decorates and caches. The static scan's rules ask it; it marks nothing."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from functools import cached_property

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
BUILTINS = frozenset(dir(builtins))
CACHES = frozenset({"functools.cache", "functools.lru_cache", "functools.cached_property"})
_ITERATORS = frozenset({"enumerate", "zip", "map", "filter", "reversed", "iter"})
PLAIN = (ast.Constant, ast.Tuple, ast.Load, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator)


class Module:
    """One parsed source and what can be said of its names."""

    def __init__(self, tree: ast.Module, others: dict[str, ast.Module] | None = None) -> None:
        """`others`: the solution's further Python sources, for what is imported from them."""
        self.tree, self.others = tree, others or {}
        self.nodes = list(ast.walk(tree))
        self.imports = dict(_imported(self.nodes))
        self.bindings = _bindings(tree)
        self.functions: list[Function] = [
            node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ]
        self.classes = {node.name: node for node in self.nodes if isinstance(node, ast.ClassDef)}
        self.globals = {node.name for node in self.classes.values()} | set(self.bindings) | {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef)
        }  # fmt: skip
        assigned = set(self.bindings)
        self.modules = {name: full for name, full in self.imports.items() if name not in assigned or self._is_import_guard(name)}
        self.builtins = BUILTINS - assigned - set(self.classes)
        self.own_functions = {node.name for node in self.functions if isinstance(node, ast.FunctionDef)} - assigned
        self.function_names = (self.own_functions | self._from_others("functions")) - assigned
        self.plain_constants = self._plain_constants() | self._from_others("constants")
        self.parents = {id(child): node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def _is_import_guard(self, name: str) -> bool:
        """True for a module that is bound to a constant where it cannot be imported, and to nothing else."""
        return all(isinstance(value, ast.Constant) for value in self.bindings[name])

    def _plain_constants(self) -> set[str]:
        """Names at the top that are bound once, to a number, a string or a tuple of those."""
        return {
            name for name, values in self.bindings.items()
            if len(values) == 1 and values[0] is not None and self._is_plain(values[0]) and name not in self.imports
        }  # fmt: skip

    def _is_plain(self, value: ast.expr) -> bool:
        names = {item.id for item in ast.walk(value) if isinstance(item, ast.Name)}
        rest = [item for item in ast.walk(value) if not isinstance(item, ast.Name)]
        behind = [bound for name in names for bound in self.bindings.get(name, [None])]
        known = len(behind) == len(names) and all(bound is not None and bound is not value and self._is_plain(bound) for bound in behind)
        return known and all(isinstance(item, PLAIN) for item in rest)

    def _from_others(self, kind: str) -> set[str]:
        """Local names of functions or plain constants that come from another source of the solution."""
        found = set()
        for node in self.nodes:
            if isinstance(node, ast.ImportFrom) and node.level:
                for alias in node.names:
                    owner = self.others.get((node.module or "").rsplit(".", 1)[-1])
                    if owner is None:
                        continue
                    other = Module(owner)
                    names = other.plain_constants if kind == "constants" else other.function_names
                    if alias.name in names:
                        found.add(alias.asname or alias.name)
        return found

    @cached_property
    def has_tables(self) -> bool:
        """True when some function writes into a container by index: then what is asked of kept objects may be what a call left."""
        bodies = (item for function in self.functions if not isinstance(function, ast.Lambda) for item in ast.walk(function))
        return any(isinstance(item, ast.Subscript) and isinstance(item.ctx, ast.Store) for item in bodies)

    @cached_property
    def jitted(self) -> list[ast.FunctionDef]:
        """Functions that Triton compiles: decorated with its `jit`, reached through its own module."""
        return [node for node in self.functions if isinstance(node, ast.FunctionDef) and any(map(self._is_jit, node.decorator_list))]

    def _is_jit(self, node: ast.expr) -> bool:
        full, root = self.full_name(_head(node)), root_name(node)
        own = root not in self.modules or root in self.classes or root in self.function_names
        return not own and full.startswith("triton") and full.rsplit(".", 1)[-1] == "jit"

    @cached_property
    def device_nodes(self) -> set[int]:
        """Ids of what runs on the device only: bodies of jitted functions. Defaults, annotations and decorators run on the host."""
        return {id(child) for node in self.jitted for statement in node.body for child in ast.walk(statement)}

    @cached_property
    def cached(self) -> set[str]:
        """Functions that keep their results by their arguments."""
        return {node.name for node in self.functions if isinstance(node, ast.FunctionDef) and self.is_cached(node)}

    def is_cached(self, node: Function) -> bool:
        if isinstance(node, ast.Lambda):
            return False
        return any("cache" in self.full_name(_head(item)) or "cache" in ast.unparse(item) for item in node.decorator_list)

    def full_name(self, node: ast.AST) -> str:
        """Dotted name behind an expression that starts from an imported module, empty for any other."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        return ".".join([self.imports[node.id], *parts]) if isinstance(node, ast.Name) and node.id in self.imports else ""

    def root_module(self, node: ast.AST) -> str:
        """Dotted name of what an attribute is taken from, empty when that is no module."""
        return self.full_name(node.value) if isinstance(node, ast.Attribute) else self.full_name(node)

    def owner(self, function: ast.AST) -> ast.ClassDef | None:
        """The class whose method a function is; None for static ones and for plain functions."""
        parent = self.parents.get(id(function))
        static = isinstance(function, ast.FunctionDef) and any("staticmethod" in ast.unparse(item) for item in function.decorator_list)
        return parent if isinstance(parent, ast.ClassDef) and not static else None

    def class_fields(self, owner: ast.ClassDef | None) -> set[str]:
        """Names that a class holds for all its objects."""
        assigned = [node for node in owner.body if isinstance(node, ast.Assign)] if owner else []
        return {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)}

    def is_inside_function(self, node: ast.AST) -> bool:
        parent = self.parents.get(id(node))
        while parent is not None and not isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            parent = self.parents.get(id(parent))
        return parent is not None

    def methods(self, name: str) -> list[ast.FunctionDef]:
        return [item for node in self.classes.values() for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name]

    def is_iterator(self, value: ast.expr) -> bool:
        """True for an expression that makes an object which remembers how far it was read."""
        if isinstance(value, ast.GeneratorExp):
            return True
        if not isinstance(value, ast.Call):
            return False
        full = self.full_name(value.func)
        return (isinstance(value.func, ast.Name) and value.func.id in _ITERATORS) or full.startswith("itertools.")


def root_name(node: ast.AST) -> str:
    """The name that a chain of attributes, indices and calls starts from."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _head(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _imported(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """(local name, dotted module or member)"""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname or alias.name.split(".")[0]), (alias.name if alias.asname else alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield (alias.asname or alias.name), f"{node.module}.{alias.name}"


def _bindings(tree: ast.Module) -> dict[str, list[ast.expr | None]]:
    """Names that the top of a module binds by statements, each with its values (None where that is not one expression)."""
    found: dict[str, list[ast.expr | None]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            continue
        nodes = list(own_nodes(statement))
        simple: set[int] = set()
        for node in nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        simple.add(id(target))
                        found.setdefault(target.id, []).append(node.value)
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in simple:
                found.setdefault(node.id, []).append(None)
    return found


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below a node that runs in its own scope: bodies of functions and classes are left out."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from own_nodes(child)

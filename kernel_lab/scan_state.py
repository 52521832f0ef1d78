"""State in Python sources: what one function keeps beyond its call, and where it looks at the data on the host."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel_lab.scan import Mark
    from kernel_lab.scan_python import PythonScan

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_METADATA = {"shape", "device", "dtype", "ndim", "is_cuda", "itemsize", "layout"}
_METADATA_CALLS = {"size", "dim", "numel", "stride", "element_size", "is_contiguous", "nelement"}
_CONTAINER = frozenset(
    [
        "append",
        "extend",
        "insert",
        "update",
        "setdefault",
        "pop",
        "popitem",
        "appendleft",
        "discard",
        "clear",
        "remove",
        "add",
        "push",
        "rotate",
        "extendleft",
        "move_to_end",
        "subtract",
        "sort",
        "reverse",
    ]
)
_NOT_OF_TENSORS = _CONTAINER - {"add", "sort", "subtract"}
_HOST_READS = {"item", "tolist", "equal", "allclose"}
_CASTS = frozenset(["float", "int", "bool", "str", "repr", "hash", "range", "max", "min", "sorted", "any", "all", "format"])
_BUILTINS = set(dir(builtins))


def returns_shared(scan: PythonScan) -> set[str]:
    """Names of functions whose result may be an object that lives on: cached ones, and those that return something kept."""
    found = {node.name for node in scan.functions if isinstance(node, ast.FunctionDef) and is_cached(node)}
    for node in scan.functions:
        if isinstance(node, ast.FunctionDef):
            state = State(scan, node)
            if any(isinstance(item, ast.Return) and item.value is not None and state.is_shared(item.value) for item in ast.walk(node)):
                found.add(node.name)
    return found


def is_cached(node: ast.FunctionDef) -> bool:
    return any("cache" in ast.unparse(item) for item in node.decorator_list)


class State:
    """One function. A name is shared when the object behind it outlives the call: a global, a closure's, self's, or an alias of one."""

    def __init__(self, scan: PythonScan, function: Function) -> None:
        self.scan, self.function = scan, function
        self.body: list[ast.stmt] = function.body if isinstance(function.body, list) else [ast.Expr(function.body)]
        self.parameters = _parameters(function)
        self.data = self._data_parameters()
        self.local = set(self.parameters) | _bound(self.body)
        self.is_setup = isinstance(function, ast.FunctionDef) and function.name in ("__init__", "__post_init__")
        self.cached = isinstance(function, ast.FunctionDef) and is_cached(function)
        self.aliases: set[str] = set()
        for _ in range(2):  # twice, so that what a loop carries round is seen
            self._spread()

    def _data_parameters(self) -> set[str]:
        names = self.parameters - {"self"}
        if isinstance(self.function, ast.FunctionDef) and self.function in self.scan.tree.body:
            if self.function.name == self.scan.solution.entry[1]:
                order = [item.arg for item in [*self.function.args.posonlyargs, *self.function.args.args]]
                return names - {order[place] for place in self.scan.scalars if place < len(order)}
            return set(self.scan.data_parameters.get(self.function.name, names))
        return set(names)

    def nodes(self) -> Iterator[ast.AST]:
        for statement in self.body:
            yield from ast.walk(statement)

    def _spread(self) -> None:
        """Names assigned from data are data; names bound to shared objects are aliases of them."""
        for node in self.nodes():
            value, targets = _assignment(node)
            if value is None:
                continue
            names = {
                part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
            if self.is_data(value):
                self.data |= names
            if isinstance(value, ast.Name | ast.Subscript | ast.Attribute | ast.Call) and self.is_shared(value):
                self.aliases |= names

    def is_data(self, node: ast.AST) -> bool:
        """True when an expression depends on the contents of the arguments, not only on shapes, types and devices."""
        if isinstance(node, ast.Attribute) and node.attr in _METADATA:
            return False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _METADATA_CALLS:
            return False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "isinstance"):
            return False
        if isinstance(node, ast.Compare) and all(isinstance(item, ast.Is | ast.IsNot) for item in node.ops):
            return False
        if isinstance(node, ast.Name):
            return node.id in self.data and not self.cached
        return any(self.is_data(child) for child in ast.iter_child_nodes(node))

    def is_shared(self, node: ast.AST) -> bool:
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    return node.func.id in self.scan.returns_shared
                node = node.func
            elif isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
                node = node.value
            else:
                return False
        name = node.id
        if name == "self":
            return not self.is_setup
        if name in self.local:
            return name in self.aliases
        return name not in self.scan.modules and name not in _BUILTINS and name not in self.scan.function_names

    def marks(self) -> Iterator[Mark]:
        for node in self.nodes():
            yield from self._stores(node)
            yield from self._calls(node)
            yield from self._looks(node)

    def _stores(self, node: ast.AST) -> Iterator[Mark]:
        targets = (
            node.targets
            if isinstance(node, ast.Assign | ast.Delete)
            else [node.target]
            if isinstance(node, ast.AugAssign | ast.AnnAssign)
            else []
        )
        for target in targets:
            if isinstance(node, ast.AugAssign) and self.is_shared(target):
                yield self.scan.mark("review", node, ast.unparse(node), "counts calls or keeps state between them")
            elif isinstance(target, ast.Attribute) and self.is_shared(target):
                yield self.scan.mark("review", node, ast.unparse(node), "keeps state between calls")
            elif isinstance(target, ast.Subscript) and self.is_shared(target):
                yield from self._store(node, target)

    def _store(self, node: ast.AST, target: ast.Subscript) -> Iterator[Mark]:
        """A table of constants by shape, type and device is what honest code keeps; anything else is asked about."""
        value = getattr(node, "value", None)
        container = ast.unparse(target.value)
        reads_itself = value is not None and any(
            ast.unparse(item) == container for item in ast.walk(value) if isinstance(item, ast.Name | ast.Attribute)
        )
        key_is_fixed = not any(isinstance(item, ast.Name) for item in ast.walk(target.slice))
        if value is None or self.is_data(target.slice) or self.is_data(value):
            yield self.scan.mark("review", node, ast.unparse(node), "keeps results or data between calls")
        elif reads_itself or key_is_fixed:
            yield self.scan.mark("review", node, ast.unparse(node), "counts calls or keeps state between them")

    def _calls(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.Attribute) and _changes(node.attr) and self.is_shared(node.value):
            yield self.scan.mark("review", node, ast.unparse(node), "keeps data or counts between calls")
        if not isinstance(node, ast.Call):
            return
        values = [*node.args, *(word.value for word in node.keywords)]
        if isinstance(node.func, ast.Attribute):
            root = self.scan.root_name(node.func.value)
            if _changes(node.func.attr) and any(self.is_shared(item) for item in node.args):
                yield self.scan.mark("review", node, ast.unparse(node), "keeps data or counts between calls")
            elif node.func.attr in _NOT_OF_TENSORS and root in self.parameters and root != "self":
                yield self.scan.mark("review", node, ast.unparse(node), "changes a container that it was handed")
        if isinstance(node.func, ast.Name) and any(self.is_data(item) for item in values):
            called = next((item for item in self.scan.functions if isinstance(item, ast.FunctionDef) and item.name == node.func.id), None)
            if called is not None and is_cached(called):
                yield self.scan.mark("review", node, ast.unparse(node), "keeps results by the identity or value of data")
        if any(word.arg == "out" and self.is_shared(word.value) for word in node.keywords):
            yield self.scan.mark("review", node, ast.unparse(node), "writes into a buffer that is kept between calls")
        if isinstance(node.func, ast.Subscript) and any(
            self.is_shared(item) for item in values if isinstance(item, ast.Name | ast.Attribute | ast.Subscript)
        ):
            constants = all(self._is_constant(item) for item in values)
            if not constants:
                yield self.scan.mark("review", node, ast.unparse(node), "hands a kept buffer to a kernel")

    def _is_constant(self, node: ast.expr) -> bool:
        """A module-level name that is bound once to a plain number or string."""
        return not self.is_shared(node) or (isinstance(node, ast.Name) and node.id in self.scan.plain_constants)

    def _picks(self, node: ast.AST) -> bool:
        """An index that depends on the data, into something that does not, or into a Python sequence."""
        if not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self.is_data(node.slice)):
            return False
        return isinstance(node.value, ast.Tuple | ast.List | ast.Dict) or not self.is_data(node.value)

    def _looks(self, node: ast.AST) -> Iterator[Mark]:
        """The contents of tensors, seen by the host: a kernel has no need to, a candidate that answers only at times has."""
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert) and self.is_data(node.test):
            yield self.scan.mark("review", node, ast.unparse(node.test), "chooses its path by the data")
        elif isinstance(node, ast.Match) and self.is_data(node.subject):
            yield self.scan.mark("review", node, ast.unparse(node.subject), "chooses its path by the data")
        elif self._picks(node):
            yield self.scan.mark("review", node, ast.unparse(node), "chooses by the data")
        elif isinstance(node, ast.Call):
            read = isinstance(node.func, ast.Attribute) and node.func.attr in _HOST_READS and self.is_data(node)
            cast = isinstance(node.func, ast.Name) and node.func.id in _CASTS and any(self.is_data(item) for item in node.args)
            if read or cast:
                yield self.scan.mark("review", node, ast.unparse(node), "looks at the data on the host")


def _changes(name: str) -> bool:
    """Method names that change their object: containers' own, and whatever torch ends with an underscore."""
    return name in _CONTAINER or (name.endswith("_") and not name.startswith("_"))


def _parameters(function: Function) -> set[str]:
    arguments = function.args
    found = {item.arg for item in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    return found | {item.arg for item in (arguments.vararg, arguments.kwarg) if item}


def _bound(body: list[ast.stmt]) -> set[str]:
    """Names that a body binds itself; those declared global or nonlocal are not its own."""
    found: set[str] = set()
    foreign: set[str] = set()
    for node in (item for statement in body for item in ast.walk(statement)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            foreign |= set(node.names)
    return found - foreign


def _assignment(node: ast.AST) -> tuple[ast.expr | None, list[ast.expr]]:
    if isinstance(node, ast.Assign):
        return node.value, node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr):
        return node.value, [node.target]
    if isinstance(node, ast.For | ast.comprehension):
        return node.iter, [node.target]
    if isinstance(node, ast.withitem) and node.optional_vars is not None:
        return node.context_expr, [node.optional_vars]
    return None, []

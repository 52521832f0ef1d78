"""Memory in Python sources: tables that are asked for more than a key to fill, and fresh memory that is read before it is written."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kernel_lab.scan import words
from kernel_lab.scan_flow import Flow
from kernel_lab.scan_module import Module, root_name

Found = tuple[ast.AST, str, str]


def reads_kept(flow: Flow, node: ast.AST) -> bool:
    """True when an expression is made from what an earlier call may have left."""
    names = (item for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load))
    return any(flow.is_shared(item) and item.id not in flow.module.classes for item in names)


class Tables:
    """What one function asks of kept tables."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.module = flow, flow.module

    def marks(self) -> Iterator[Found]:
        """A kept table may be asked for a key in order to fill it, and for nothing else: what it holds is what earlier calls left."""
        fills = [node for node in self.flow.nodes() if isinstance(node, ast.If) and self._only_fills(node)]
        filling = {id(part) for node in fills for part in ast.walk(node.test)}
        for node in self.flow.nodes():
            if (
                (isinstance(node, ast.Compare) and id(node) not in filling and self._is_stored(node))
                or (isinstance(node, ast.Call) and self._has_default(node))
                or (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self._is_led(node))
            ):
                yield node, ast.unparse(node), "asks what earlier calls left"
            elif isinstance(node, ast.For | ast.comprehension) and self._remembers(node.iter):
                yield node.iter, ast.unparse(node.iter), "reads on in an object that is kept"

    def _has_default(self, node: ast.Call) -> bool:
        """`TABLE.get(key, other)`: two answers, by what is there."""
        two = isinstance(node.func, ast.Attribute) and node.func.attr == "get" and len(node.args) + len(node.keywords) > 1
        return two and self.module.has_tables and self.flow.is_shared(node.func)

    def _is_led(self, node: ast.Subscript) -> bool:
        """`TABLE[len(TABLE)]`: an index that hangs on what is kept."""
        return self.flow.is_shared(node.value) and reads_kept(self.flow, node.slice)

    def _is_stored(self, node: ast.Compare) -> bool:
        """A comparison with something kept, in a source that fills tables."""
        sides = [node.left, *node.comparators]
        asks = any(isinstance(item, ast.In | ast.NotIn | ast.Is | ast.IsNot) for item in node.ops)
        fields = [side for side in sides if isinstance(side, ast.Attribute) and isinstance(side.value, ast.Name) and not asks]
        kept = [side for side in sides if side not in fields and self.flow.may_share(side) and not self._is_fixed(side)]
        return self.module.has_tables and bool(kept)

    def _is_fixed(self, node: ast.expr) -> bool:
        """A class, or a name that is bound once to what the device or the version says."""
        name = root_name(node)
        values = self.module.bindings.get(name, [])
        if name in self.module.classes or len(values) != 1 or values[0] is None:
            return name in self.module.classes
        said = not isinstance(values[0], ast.Dict | ast.List | ast.Set) and bool(self.module.full_name(_called(values[0])))
        return said or isinstance(values[0], ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant)

    def _only_fills(self, node: ast.If) -> bool:
        """`if key not in TABLE: TABLE[key] = …`, or `if key in TABLE: return TABLE[key]`; nothing else may hang on the answer."""
        if node.orelse or not isinstance(node.test, ast.Compare) or len(node.test.ops) != 1:
            return False
        if isinstance(node.test.ops[0], ast.In | ast.IsNot):
            only = node.body[0] if len(node.body) == 1 else None
            return isinstance(only, ast.Return) and only.value is not None and self.flow.may_share(only.value)
        return isinstance(node.test.ops[0], ast.NotIn | ast.Is) and self._fills(node)

    def _fills(self, node: ast.If) -> bool:
        """A body that makes an entry and stores it; names that it binds and others read are the entry itself."""
        inside = [item for statement in node.body for item in ast.walk(statement)]
        if any(isinstance(item, ast.Return | ast.Break | ast.Continue | ast.Raise | ast.AugAssign) for item in inside):
            return False
        assigned = [item for item in inside if isinstance(item, ast.Assign)]
        stores = [item for item in assigned if any(isinstance(place, ast.Subscript) for place in item.targets)]
        kept = {part.id for item in stores for part in [*item.targets, item.value] if isinstance(part, ast.Name)}
        bound = {item.id for item in inside if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)}
        parts = {id(item) for item in inside}
        names = [item for item in self.flow.nodes() if isinstance(item, ast.Name) and id(item) not in parts]
        used = {item.id for item in names if isinstance(item.ctx, ast.Load)}
        return bool(stores) and not (bound - kept) & used

    def _remembers(self, node: ast.expr) -> bool:
        """A kept object that is iterated and is no list, table or range."""
        if not (isinstance(node, ast.Name) and self.flow.is_shared(node) and node.id in self.module.bindings):
            return False
        plain = ("list", "tuple", "dict", "set", "frozenset", "range", "sorted")
        return not all(
            isinstance(value, ast.List | ast.Tuple | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
            or (isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in plain)
            for value in self.module.bindings[node.id]
        )


def unwritten(flow: Flow) -> Iterator[Found]:
    """Memory that is read before it is written holds what an earlier call left there."""
    for name in _empties(flow):
        uses = sorted(
            (item for item in flow.nodes() if isinstance(item, ast.Name) and item.id == name and isinstance(item.ctx, ast.Load)),
            key=lambda item: (item.lineno, item.col_offset),
        )
        kind = next((kind for kind in (_use(flow.module, item) for item in uses) if kind != "skip"), "write")
        if kind == "read":
            yield uses[0], name, "reads memory that it has not written: it holds what an earlier call left"


def _empties(flow: Flow) -> list[str]:
    found = []
    for node in flow.nodes():
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs: list[tuple[ast.expr, ast.expr]] = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            found += [place.id for place, value in pairs if isinstance(place, ast.Name) and _is_fresh(value)]
    return found


def _is_fresh(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in words("empties")


def _use(module: Module, node: ast.AST) -> str:
    """What one use of fresh memory does with it: write, read or skip (metadata, another name for it)."""
    parent = module.parents.get(id(node))
    if isinstance(parent, ast.Attribute):
        return _attribute_use(module, parent)
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return "write" if isinstance(parent.ctx, ast.Store) else _use(module, parent)
    if isinstance(parent, ast.Call):
        full = module.full_name(parent.func)
        reads = full and not full.startswith("triton") and full.rsplit(".", 1)[-1] not in words("numpy_writes") | {"from_numpy"}
        return "read" if reads else "write"
    if isinstance(parent, ast.BinOp | ast.Compare | ast.BoolOp | ast.UnaryOp | ast.AugAssign):
        return "read"
    return "write" if isinstance(parent, ast.Return | ast.For | ast.comprehension | ast.keyword) else "skip"


def _attribute_use(module: Module, node: ast.Attribute) -> str:
    call = module.parents.get(id(node))
    if node.attr in words("metadata"):
        return "skip"
    if not (isinstance(call, ast.Call) and call.func is node):
        return _use(module, node)
    if node.attr in words("metadata_calls") or node.attr == "data_ptr":
        return "skip"
    if node.attr in words("first_writes"):
        return "write"
    return _use(module, call) if node.attr in words("view_methods") else "read"


def _called(value: ast.expr) -> ast.expr:
    """What a value's outermost call, index or attribute is taken from."""
    while isinstance(value, ast.Subscript | ast.Call):
        value = value.func if isinstance(value, ast.Call) else value.value
    return value

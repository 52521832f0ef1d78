"""State in Python sources: what one function keeps beyond its call, and where the host chooses by data, memory or the process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kernel_lab.scan import words
from kernel_lab.scan_flow import Flow
from kernel_lab.scan_memory import Found, Tables, reads_kept, unwritten
from kernel_lab.scan_module import root_name


class State:
    """One function's marks, as (node, what, why); all of them are for a person to look at."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.module = flow, flow.module

    def marks(self) -> Iterator[Found]:
        for node in self.flow.nodes():
            for check in (self._stores, self._changes, self._hands_over, self._keeps_by_value, self._looks):
                yield from check(node)
        yield from Tables(self.flow).marks()
        yield from unwritten(self.flow)

    def _stores(self, node: ast.AST) -> Iterator[Found]:
        """Every place that is written to, in whatever statement: assignments, loops, `with`, comprehensions, `del`."""
        if isinstance(node, ast.AugAssign) and self.flow.is_shared(node.target):
            yield node, ast.unparse(node), "counts calls or keeps state between them"
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and self.flow.is_shared(node):
            yield node, ast.unparse(node), "keeps state between calls"
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del) and self.flow.is_shared(node):
            why = self._store(node)
            if why:
                yield node, ast.unparse(self._statement(node)), why

    def _statement(self, node: ast.AST) -> ast.AST:
        while not isinstance(node, ast.stmt) and id(node) in self.module.parents:
            node = self.module.parents[id(node)]
        return node if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete | ast.Expr) else ast.Pass()

    def _store(self, target: ast.Subscript) -> str:
        """Why a write into a kept table is not the one that honest code does: a constant, by shape, type and device."""
        owner = self.module.parents.get(id(target))
        value = owner.value if isinstance(owner, ast.Assign | ast.AnnAssign) else None
        if value is None or self.flow.is_data(target.slice) or self.flow.is_data(value):
            return "keeps results or data between calls"
        part = any(isinstance(item, ast.Slice) for item in ast.walk(target.slice))
        fixed = not any(isinstance(item, ast.Name) for item in ast.walk(target.slice))
        counts = part or fixed or reads_kept(self.flow, target.slice) or reads_kept(self.flow, value)
        return "counts calls or keeps state between them" if counts or self.flow.is_moody(target.slice) else ""

    def _changes(self, node: ast.AST) -> Iterator[Found]:
        """Methods that change their object, called or handed on."""
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _is_change(node.attr):
            root = self.module.root_module(node)
            unbound = isinstance(node.value, ast.Name) and node.value.id in words("types") and node.value.id in self.module.builtins
            parent = self.module.parents.get(id(node))
            called = isinstance(parent, ast.Call) and parent.func is node
            if self.flow.is_shared(node.value) and not root:
                yield node, ast.unparse(node), "keeps data or counts between calls"
            elif root and root.count(".") and node.attr in words("not_of_tensors"):
                yield node, ast.unparse(node), "changes an object of a library"
            elif not called and (unbound or root):
                yield node, ast.unparse(node), "a method that changes its object, handed on"
        if not isinstance(node, ast.Call):
            return
        if isinstance(node.func, ast.Attribute):
            root = root_name(node.func.value)
            if _is_change(node.func.attr) and any(self.flow.may_share(item) for item in node.args):
                yield node, ast.unparse(node), "keeps data or counts between calls"
            elif node.func.attr in words("not_of_tensors") and root in self.flow.parameters and root != "self":
                yield node, ast.unparse(node), "changes a container that it was handed"
        yield from self._into_arguments(node)

    def _into_arguments(self, node: ast.Call) -> Iterator[Found]:
        """Calls that write into an argument: out=, inplace=, and numpy's, which take the place by position."""
        named = {word.arg: word.value for word in node.keywords}
        if "out" in named and self.flow.may_share(named["out"]):
            yield node, ast.unparse(node), "writes into a buffer that is kept between calls"
        elif "inplace" in named and any(map(self.flow.may_share, node.args)):
            yield node, ast.unparse(node), "keeps data or counts between calls"
        full = self.module.full_name(node.func)
        if full.startswith("numpy."):
            writes = full.rsplit(".", 1)[-1] in words("numpy_writes") and any(map(self.flow.may_share, node.args[:1]))
            if writes or (len(node.args) > 2 and self.flow.may_share(node.args[-1])):
                yield node, ast.unparse(node), "writes into a buffer that is kept between calls"

    def _hands_over(self, node: ast.AST) -> Iterator[Found]:
        """Shared objects given to code that the scan cannot follow."""
        if not isinstance(node, ast.Call):
            return
        values = [*node.args, *(word.value for word in node.keywords)]
        kept = [item for item in values if self.flow.may_share(item) and not self._is_class(item)]
        if not kept:
            return
        if isinstance(node.func, ast.Subscript):
            yield node, ast.unparse(node), "hands a kept buffer to a kernel"
        elif not isinstance(node.func, ast.Name | ast.Attribute):
            yield node, ast.unparse(node), "hands a kept object to code that is chosen at run time"
        else:
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            passes = any(self._is_function(item) for item in values)
            unknown = isinstance(node.func, ast.Name) and not self._is_known(node.func)
            if unknown or (
                passes and (name in ("map", "filter") or self.module.full_name(node.func) or isinstance(node.func, ast.Attribute))
            ):
                yield node, ast.unparse(node), "hands a kept object to code that is chosen at run time"

    def _is_class(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.module.classes

    def _is_function(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Lambda):
            return True
        return isinstance(node, ast.Name) and (node.id in self.module.function_names or node.id in words("types"))

    def _is_known(self, name: ast.Name) -> bool:
        own = name.id in self.module.own_functions or name.id in self.module.classes
        return own or name.id in self.module.builtins or name.id in self.module.modules

    def _keeps_by_value(self, node: ast.AST) -> Iterator[Found]:
        """Data given to something that keeps results by their arguments, or to an object that may."""
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            return
        values = [*node.args, *(word.value for word in node.keywords)]
        if not any(self.flow.is_data(item) for item in values):
            return
        name = node.func.id
        if name in self.module.cached:
            yield node, ast.unparse(node), "keeps results by the identity or value of data"
        elif name not in self.flow.local and not all(map(self._is_builder, self.module.bindings.get(name, []))):
            yield node, ast.unparse(node), "hands data to an object that may keep it"

    def _is_builder(self, value: ast.expr | None) -> bool:
        """A module-level value that is known to keep nothing by value: a function, a class of the source's own, a partial, a library's."""
        if not isinstance(value, ast.Call):
            return value is None or isinstance(value, ast.Lambda | ast.Constant | ast.Name | ast.Attribute | ast.IfExp)
        full = self.module.full_name(value.func)
        own = isinstance(value.func, ast.Name) and (value.func.id in self.module.classes or value.func.id in self.module.function_names)
        return own or full.startswith(tuple(words("builders")))

    def _picks(self, node: ast.AST) -> bool:
        """An index that depends on the data, into something that does not, or into a Python sequence."""
        if not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self.flow.is_data(node.slice)):
            return False
        return isinstance(node.value, ast.Tuple | ast.List | ast.Dict) or not self.flow.is_data(node.value)

    def _looks(self, node: ast.AST) -> Iterator[Found]:
        """The contents of tensors, seen by the host: a kernel has no need to, a candidate that answers only at times has."""
        for item in _tests(node):
            if self.flow.is_data(item):
                yield item, ast.unparse(item), "chooses its path by the data"
            elif self.flow.is_moody(item):
                yield item, ast.unparse(item), "chooses its path by the state of the process"
            elif self._counts(item):
                yield item, ast.unparse(item), "chooses its path by what earlier calls left"
        if self._picks(node):
            yield node, ast.unparse(node), "chooses by the data"
        elif isinstance(node, ast.Call):
            read = isinstance(node.func, ast.Attribute) and node.func.attr in words("host_reads") and self.flow.is_data(node)
            cast = isinstance(node.func, ast.Name) and node.func.id in words("casts") and any(self.flow.is_data(item) for item in node.args)
            if read or cast:
                yield node, ast.unparse(node), "looks at the data on the host"

    def _counts(self, test: ast.expr) -> bool:
        """A test that measures something kept: how long it is, or what stands in it."""
        calls = [item for item in ast.walk(test) if isinstance(item, ast.Call)]
        measures = ("len", "sum", "float", "int", "bool", "next")
        values = [value for item in calls if isinstance(item.func, ast.Name) and item.func.id in measures for value in item.args]
        values += [item.func.value for item in calls if isinstance(item.func, ast.Attribute) and item.func.attr in words("host_reads")]
        return any(isinstance(value, ast.Name) and self.flow.is_shared(value) and not self._is_table(value.id) for value in values)

    def _is_table(self, name: str) -> bool:
        """A list or table that is written out in the source."""
        values = self.module.bindings.get(name, [])
        rows = [getattr(value, "elts", None) or getattr(value, "keys", None) for value in values]
        return len(values) == 1 and all(rows)


def _tests(node: ast.AST) -> list[ast.expr]:
    """What a statement or expression decides by."""
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        return [node.test]
    return [node.subject] if isinstance(node, ast.Match) else node.ifs if isinstance(node, ast.comprehension) else []


def _is_change(name: str) -> bool:
    """Method names that change their object: containers' own, and whatever torch ends with an underscore."""
    return name in words("changes") or (name.endswith("_") and not name.startswith("_"))

"""Flow in Python sources: what an expression of one function depends on: the data, what outlives the call, or the process around it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from kernel_lab.scan import words
from kernel_lab.scan_module import PLAIN, Function, Module, own_nodes, root_name


class Flow:
    """One function. Shared is what outlives the call: a global, a closure's, self's, an alias of one; data is the arguments' contents."""

    def __init__(self, module: Module, function: Function, hints: Hints) -> None:
        self.module, self.function, self.hints = module, function, hints
        self.body: list[ast.stmt] = function.body if isinstance(function.body, list) else [ast.Expr(function.body)]
        self.parameters = parameters(function)
        self.cached = module.is_cached(function)
        self.data = hints.data_of(function, self.parameters)
        self.local = set(self.parameters) | _bound(self.body)
        self.is_setup = isinstance(function, ast.FunctionDef) and function.name in ("__init__", "__post_init__")
        self.owner = module.owner(function)
        self.own = _first(function) if self.owner is not None else "self"
        self.aliases = hints.shared_of(function) & self.parameters
        self.shaped: set[str] = set()
        self.moody: set[str] = set()
        for _ in range(3):  # so that what a loop carries round is seen
            self._spread()

    def nodes(self) -> Iterator[ast.AST]:
        for statement in self.body:
            yield from ast.walk(statement)

    def _spread(self) -> None:
        """Names assigned from data are data; names bound to shared objects are aliases of them."""
        for node in self.nodes():
            for value, targets in _assignments(node):
                parts = [item for target in targets for item in ast.walk(target) if isinstance(item, ast.Name)]
                names = {item.id for item in parts if isinstance(item.ctx, ast.Store)}
                if self.is_data(value):
                    self.data |= names
                if self.may_share(value):
                    self.aliases |= names
                if self.shape_is_data(value):
                    self.shaped |= names
                if self.is_moody(value):
                    self.moody |= names

    def is_data(self, node: ast.AST) -> bool:
        """True when an expression depends on the contents of the arguments, or of memory that nobody wrote."""
        if isinstance(node, ast.Attribute) and node.attr in words("metadata"):
            return self.shape_is_data(node.value)
        if isinstance(node, ast.Call):
            known = self._call_is_data(node)
            if known is not None:
                return known
        if isinstance(node, ast.Compare) and all(isinstance(item, ast.Is | ast.IsNot) for item in node.ops):
            return False
        if isinstance(node, ast.Name):
            return node.id in self.data and not self.cached
        return any(self.is_data(child) for child in ast.iter_child_nodes(node))

    def _call_is_data(self, node: ast.Call) -> bool | None:
        """What a call says where that does not hang on its arguments: sizes and types, fresh memory. None for any other."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in words("metadata_calls"):
            return self.shape_is_data(node.func.value)
        if isinstance(node.func, ast.Name) and node.func.id in ("len", "isinstance", "type"):
            return node.func.id == "len" and any(map(self.shape_is_data, node.args))
        fresh = isinstance(node.func, ast.Attribute) and node.func.attr in words("empties") and not self.cached
        return True if fresh else None

    def shape_is_data(self, node: ast.AST) -> bool:
        """True when the size of a value depends on the data: what a mask picks, what is not zero."""
        for item in own_nodes(node):
            if isinstance(item, ast.Name) and item.id in self.shaped:
                return True
            if isinstance(item, ast.Call):
                name = item.func.attr if isinstance(item.func, ast.Attribute) else item.func.id if isinstance(item.func, ast.Name) else ""
                if name in self.hints.returns_shaped or (name in words("shaped") and self.is_data(item)):
                    return True
            if isinstance(item, ast.Subscript) and isinstance(item.ctx, ast.Load) and self.is_data(item.slice):
                return True
        return False

    def is_moody(self, node: ast.AST) -> bool:
        """True when an expression asks a library about the state of the process: modes, options, threads, generators."""
        for item in own_nodes(node):
            if isinstance(item, ast.Name) and item.id in self.moody:
                return True
            if isinstance(item, ast.Call):
                full = self.module.full_name(item.func)
                if (
                    full
                    and not full.startswith(tuple(words("fixed_roots")))
                    and full.rsplit(".", 1)[-1] not in words("fixed_calls")
                    and not self.is_data(item)
                ):
                    return not any(self._is_local(word) for word in [*item.args, *(word.value for word in item.keywords)])
        return False

    def _is_local(self, node: ast.expr) -> bool:
        return any(isinstance(item, ast.Name) and item.id in self.local for item in ast.walk(node))

    def is_shared(self, node: ast.AST) -> bool:
        """True when the object behind a name, attribute, element or method's result lives on after the call."""
        field = ""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
            field = node.attr if isinstance(node, ast.Attribute) else field
            node = node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not self.module.full_name(node.func):
            return self.is_shared(node.func.value)
        if not isinstance(node, ast.Name):
            return self.may_share(node)
        name = node.id
        if name == self.own:  # while an object is set up, only what the class holds for all of them is kept
            return not self.is_setup or field in self.module.class_fields(self.owner)
        if name in self.local:
            return name in self.aliases
        known = name in self.module.modules or name in self.module.builtins or name in self.module.function_names
        return not known and name not in self.module.plain_constants

    def may_share(self, node: ast.AST) -> bool:
        """True when a value may be, or hold, a shared object itself (not only be computed from one)."""
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Starred):
            return self.is_shared(node)
        if isinstance(node, ast.Call):
            return self._call_may_share(node)
        parts: list[ast.expr] = []
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = node.elts
        elif isinstance(node, ast.Dict | ast.BoolOp):
            parts = node.values
        elif isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        elif isinstance(node, ast.NamedExpr | ast.Await):
            parts = [node.value]
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            parts = [node.elt]
        return any(map(self.may_share, parts))

    def _call_may_share(self, node: ast.Call) -> bool:
        """Calls that hand out what they were given, or something kept."""
        given = any(map(self.may_share, [*node.args, *(word.value for word in node.keywords)]))
        if isinstance(node.func, ast.Lambda):
            return given or self.may_share(node.func.body)
        if self.module.full_name(node.func):
            return given and self.module.full_name(node.func).rsplit(".", 1)[-1] in words("views")
        if isinstance(node.func, ast.Attribute):
            return self.is_shared(node.func.value)
        if not isinstance(node.func, ast.Name):
            return given or self.may_share(node.func)
        name = node.func.id
        if name in self.module.builtins:
            return given and name in words("holding_builtins")
        return name in self.hints.returns_shared or (given and name in self.module.classes)


class Hints:
    """What is known across a module's functions: which parameters hold data or shared objects, what each function returns."""

    def __init__(self, module: Module, entry: str, scalars: frozenset[int]) -> None:
        self.module, self.entry, self.scalars = module, entry, scalars
        self.returns_shared: set[str] = set(module.cached)
        self.returns_shaped: set[str] = set()
        self._named = {node.name: node for node in module.tree.body if isinstance(node, ast.FunctionDef) and node.name != entry}
        self._calls = [node for node in module.nodes if isinstance(node, ast.Call)]
        self._shared: dict[int, set[str]] = {id(node): self._bound_objects(name) for name, node in self._named.items()}
        self._data: dict[str, set[str]] = {name: self._unbound(name) for name in self._closed()} if not module.others else {}
        for _ in range(4):
            for function in module.functions:
                self._learn(Flow(module, function, self))

    def _closed(self) -> set[str]:
        """Functions that are only called, never passed around: their calls are all there is."""
        calls = [node for node in self._calls if isinstance(node.func, ast.Name) and node.func.id in self._named]
        heads = {id(call.func) for call in calls} | {id(call.args[0]) for call in self._partials()}
        loose = {
            node.id for node in self.module.nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in self._named and id(node) not in heads
        }  # fmt: skip
        used = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        return (used | {root_name(call.args[0]) for call in self._partials()}) - loose

    def _partials(self) -> list[ast.Call]:
        """functools.partial over a function of the source: a call whose missing arguments come later, and are data."""
        found = [call for call in self._calls if self.module.full_name(call.func) == "functools.partial" and call.args]
        return [call for call in found if isinstance(call.args[0], ast.Name) and call.args[0].id in self._named]

    def _bound_objects(self, name: str) -> set[str]:
        """Parameters that a partial at the top of the module fills with an object: it is the same in all calls."""
        found: set[str] = set()
        order = [item.arg for item in [*self._named[name].args.posonlyargs, *self._named[name].args.args]]
        for call in self._partials():
            if root_name(call.args[0]) == name and not self.module.is_inside_function(call):
                placed = zip(order, call.args[1:], strict=False)
                given = [*placed, *((word.arg, word.value) for word in call.keywords if word.arg)]
                found |= {place for place, value in given if not self.is_plain_default(value)}
        return found

    def _unbound(self, name: str) -> set[str]:
        """Parameters that some partial of a function leaves open."""
        found: set[str] = set()
        for call in self._partials():
            if root_name(call.args[0]) == name:
                order = [item.arg for item in [*self._named[name].args.posonlyargs, *self._named[name].args.args]]
                fixed = any(isinstance(value, ast.Starred) for value in call.args)
                given = {word.arg for word in call.keywords}
                found |= parameters(self._named[name]) - given - (set() if fixed else set(order[: len(call.args) - 1]))
        return found

    def _learn(self, flow: Flow) -> None:
        inside = {id(item) for item in ast.walk(flow.function)}
        for call in self._calls:
            if id(call) not in inside:
                continue
            name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if isinstance(call.func, ast.Name) and name in self._data:
                self._data[name] |= _filled(self._named[name], call, flow.is_data)
            targets = [self._named[name]] if isinstance(call.func, ast.Name) and name in self._named else self.module.methods(name)
            for target in targets:
                self._shared.setdefault(id(target), set()).update(
                    _filled(target, call, flow.may_share, self.module.owner(target) is not None)
                )
        if isinstance(flow.function, ast.Lambda):
            self.returns_shared |= self._names_of(flow.function) if flow.may_share(flow.function.body) else set()
        if isinstance(flow.function, ast.FunctionDef):
            returned = [item.value for item in flow.nodes() if isinstance(item, ast.Return) and item.value is not None]
            if any(map(flow.may_share, returned)):
                self.returns_shared.add(flow.function.name)
            if any(map(flow.shape_is_data, returned)):
                self.returns_shaped.add(flow.function.name)

    def _names_of(self, function: ast.Lambda) -> set[str]:
        parent = self.module.parents.get(id(function))
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target] if isinstance(parent, ast.NamedExpr) else []
        return {target.id for target in targets if isinstance(target, ast.Name)}

    def data_of(self, function: Function, names: set[str]) -> set[str]:
        """Parameters of a function that hold data."""
        names = names - {_first(function) if self.module.owner(function) is not None else "self"}
        if isinstance(function, ast.FunctionDef) and function in self.module.tree.body:
            if function.name == self.entry:
                order = [item.arg for item in [*function.args.posonlyargs, *function.args.args]]
                return names - {order[place] for place in self.scalars if place < len(order)}
            return set(self._data.get(function.name, names))
        return set(names)

    def shared_of(self, function: Function) -> set[str]:
        """Parameters of a function that some call, or a default, fills with a shared object."""
        arguments = function.args
        placed = [*arguments.posonlyargs, *arguments.args]
        defaults: list[tuple[ast.arg, ast.expr | None]] = [*zip(placed[::-1], arguments.defaults[::-1], strict=False)]
        defaults += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        kept = {item.arg for item, value in defaults if value is not None and not self.is_plain_default(value)}
        return self._shared.get(id(function), set()) | kept

    def is_plain_default(self, value: ast.expr) -> bool:
        """A default that no call can change: numbers, strings, tuples of them, types of a library."""
        known = self.module.plain_constants | set(self.module.modules) | self.module.function_names
        return all(isinstance(item, (*PLAIN, ast.Name, ast.Attribute)) for item in ast.walk(value)) and all(
            item.id in known for item in ast.walk(value) if isinstance(item, ast.Name)
        )


def _filled(function: ast.FunctionDef, call: ast.Call, test: Callable[[ast.AST], bool], method: bool = False) -> set[str]:
    """Parameters of `function` that `call` fills with values that pass a test."""
    names = [item.arg for item in [*function.args.posonlyargs, *function.args.args]]
    names = names[1:] if method else names
    found = {name for name, value in zip(names, call.args, strict=False) if test(value)}
    found |= {word.arg for word in call.keywords if word.arg and test(word.value)}
    spread = [value for value in call.args if isinstance(value, ast.Starred)] + [word.value for word in call.keywords if word.arg is None]
    loose = function.args.vararg or function.args.kwarg
    everything = {*names, *(item.arg for item in (function.args.vararg, function.args.kwarg) if item)}
    values = [*call.args, *(word.value for word in call.keywords)]
    return everything if any(map(test, spread)) or (loose and any(map(test, values))) else found


def _first(function: Function) -> str:
    """Name of the first parameter: of a method, its object or class."""
    order = [*function.args.posonlyargs, *function.args.args]
    return order[0].arg if order else ""


def parameters(function: Function) -> set[str]:
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
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            foreign |= set(node.names)
    return found - foreign


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    """(value, targets) of whatever binds names; tuples on both sides are taken apart."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(target.elts) == len(node.value.elts):
                yield from ((value, [place]) for value, place in zip(node.value.elts, target.elts, strict=True))
            else:
                yield node.value, [target]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield node.value, [node.target]
    elif isinstance(node, ast.For | ast.comprehension):
        yield node.iter, [node.target]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.context_expr, [node.optional_vars]
    elif isinstance(node, ast.Match):
        captured = [item for case in node.cases for item in ast.walk(case.pattern)]
        names = [name for item in captured for name in (getattr(item, "name", None), getattr(item, "rest", None)) if isinstance(name, str)]
        yield node.subject, [ast.Name(name, ast.Store()) for name in names]

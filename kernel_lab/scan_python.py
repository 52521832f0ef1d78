"""Static scan of Python and Triton sources: the AST against the rules, and a small data-flow check of what is kept between calls."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from kernel_lab.scan import Mark, rules
from kernel_lab.scan_state import State, returns_shared
from kernel_lab.solution import Solution

_BIG_LITERAL = 64
_TRY: tuple[type[ast.AST], ...] = (ast.Try, *([ast.TryStar] if sys.version_info >= (3, 11) else []))
_HARMLESS_SYS = ("version_info", "maxsize", "float_info")


def scan_python(path: str, text: str, solution: Solution, float_only_32: bool, scalars: frozenset[int] = frozenset()) -> list[Mark]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return [Mark("hard", path, getattr(error, "lineno", 1) or 1, "not Python", str(error)[:120])]
    return list(PythonScan(path, tree, solution, float_only_32, scalars).marks())


class PythonScan:
    """One module."""

    def __init__(self, path: str, tree: ast.Module, solution: Solution, float_only_32: bool, scalars: frozenset[int]) -> None:
        self.scalars = scalars
        self.path, self.tree, self.solution, self.float_only_32 = path, tree, solution, float_only_32
        self.rules = rules()["python"]
        self.modules = dict(_imported(tree))
        self.jitted = {node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _is_jitted(node)}
        self.device_nodes = {id(child) for node in self.jitted for child in ast.walk(node)}
        self.functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
        self.globals = _module_names(tree)
        self.function_names = {node.name for node in self.functions if isinstance(node, ast.FunctionDef)}
        self.plain_constants = _plain_constants(tree)
        self.returns_shared: set[str] = set()
        self.data_parameters: dict[str, set[str]] = {}
        self.returns_shared = returns_shared(self)
        self.data_parameters = self._data_parameters()

    def _data_parameters(self) -> dict[str, set[str]]:
        """{helper function: parameters that some call fills from data}. Functions that are passed around are left out: all of theirs are data."""  # noqa: E501
        named = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name != self.solution.entry[1]}
        calls = [
            node for node in ast.walk(self.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in named
        ]
        heads = {id(call.func) for call in calls}
        loose = {
            node.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in named and id(node) not in heads
        }
        called = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        alone = sum(path.endswith(".py") for path in self.solution.sources) == 1
        found: dict[str, set[str]] = {name: set() for name in named if alone and name in called - loose}
        self.data_parameters = found
        for _ in range(4):
            for function in self.functions:
                state = State(self, function)
                inside = {id(item) for item in ast.walk(function)}
                for call in calls:
                    name = call.func.id  # type: ignore[attr-defined]
                    if id(call) in inside and name in found:
                        found[name] |= _filled(named[name], call, state)
        return found

    def mark(self, tier: str, node: ast.AST, what: str, why: str) -> Mark:
        return Mark(tier, self.path, getattr(node, "lineno", 1), what[:60], why)

    def marks(self) -> Iterator[Mark]:
        for node in ast.walk(self.tree):
            if id(node) in self.device_nodes and not isinstance(node, ast.Import | ast.ImportFrom):
                continue  # what runs on the device cannot reach the judge; compiling and running it is the other gates' work
            for check in (self._imports, self._names, self._attributes, self._writes, self._statements, self._literals, self._libraries):
                yield from check(node)
        yield from self._top_level()
        for function in self.functions:
            if id(function) not in self.device_nodes:
                yield from State(self, function).marks()

    def _imports(self, node: ast.AST) -> Iterator[Mark]:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            if node.level:
                return
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            for alias in node.names:
                if alias.name in self._flat("hard") or (node.module == "sys" and alias.name not in _HARMLESS_SYS):
                    yield self.mark("hard", node, f"import {node.module}.{alias.name}", "reaches the inside of other code")
                elif alias.name in self._flat("review") and not str(node.module).startswith("triton"):
                    yield self.mark(
                        "review", node, f"import {node.module}.{alias.name}", "streams, clocks, addresses, seeds or the environment"
                    )
        hard = dict(self.rules["hard_imports"])
        for name in names:
            above = {name, *(name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1))}
            found = sorted(above & set(hard))
            if found:
                yield self.mark("hard", node, f"import {name}", hard[found[0]])
            elif isinstance(node, ast.Import) and set(name.split(".")) & set(self._flat("hard")):
                yield self.mark("hard", node, f"import {name}", "reaches the inside of other code")
            elif above & set(self.rules["library_modules"]):
                yield self.mark("library", node, f"import {name}", "a library that does the operation")
            elif (
                name.split(".")[0] not in self.rules["allowed_imports"]
                and isinstance(node, ast.Import | ast.ImportFrom)
                and name == names[0]
            ):
                yield self.mark("review", node, f"import {name}", "not a module that kernels are known to need")
            if isinstance(node, ast.ImportFrom) and name.endswith(".*"):
                yield self.mark("review", node, f"from {node.module} import *", "hides where names come from")

    def _names(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.Name):
            if node.id in self.rules["names"]["hard"]:
                yield self.mark("hard", node, node.id, "runs or reaches code that the scan cannot see")
            elif node.id in self.rules["names"]["review"]:
                yield self.mark("review", node, node.id, "needs a look")
            if not node.id.isascii():
                yield self.mark("review", node, node.id, "may read otherwise than it is")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            if len(node.args) < 2 or not (isinstance(node.args[1], ast.Constant) and isinstance(node.args[1].value, str)):
                yield self.mark("hard", node, f"{node.func.id} with a computed name", "hides what is called")
            elif str(node.args[1].value) in self._flat("hard") or str(node.args[1].value).startswith("_"):
                yield self.mark("hard", node, f"{node.func.id} of {node.args[1].value}", "reaches the inside of other code")
            elif str(node.args[1].value) in [*self._flat("review"), *self.rules["library_calls"]]:
                yield self.mark("review", node, f"{node.func.id} of {node.args[1].value}", "hides what is called")

    def _flat(self, tier: str) -> list[str]:
        return list(self.rules["attributes"][tier])

    def _attributes(self, node: ast.AST) -> Iterator[Mark]:
        if not isinstance(node, ast.Attribute):
            return
        root = self._root_module(node)
        if root.startswith(("triton.language", "triton.testing")) or root == "triton":
            if root == "triton.testing" or node.attr == "testing":
                yield self.mark("review", node, "triton.testing", "measures time")
            return
        if node.attr in self._flat("hard"):
            yield self.mark("hard", node, f".{node.attr}", "reaches the inside of other code")
        elif node.attr in self._flat("review"):
            yield self.mark("review", node, f".{node.attr}", "streams, clocks, addresses, seeds or the environment")
        elif node.attr.startswith("__") and node.attr not in ("__name__", "__len__", "__init__", "__call__", "__doc__"):
            yield self.mark("hard", node, f".{node.attr}", "reaches the inside of other code")
        elif node.attr.startswith("_") and root and node.attr not in ("_scaled_mm",):
            yield self.mark("review", node, f".{node.attr}", "a private name of a library")
        if root == "sys":
            yield self.mark(
                "review" if node.attr in _HARMLESS_SYS else "hard",
                node,
                f"sys.{node.attr}",
                "reaches the interpreter",
            )

    def _full_name(self, node: ast.Attribute | ast.Name) -> str:
        return self.modules.get(node.id, "") if isinstance(node, ast.Name) else f"{self._root_module(node)}.{node.attr}"

    def _root_module(self, node: ast.AST) -> str:
        """Dotted module name that an attribute chain starts from, empty when it is no module."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            node = node.value
            if isinstance(node, ast.Attribute):
                parts.insert(0, node.attr)
        if not isinstance(node, ast.Name) or node.id not in self.modules:
            return ""
        return ".".join([self.modules[node.id], *parts])

    def _writes(self, node: ast.AST) -> Iterator[Mark]:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
            targets = [node.target]
        elif isinstance(node, ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.With):
            targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
        for target in (
            part
            for item in targets
            for part in ast.walk(item)
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store | ast.Del)
        ):
            root = self._root_module(target)
            if "backends" in ast.unparse(target):
                yield self.mark("review", target, ast.unparse(target), "changes how a library computes")
            elif root or self.root_name(target) in self.modules:
                yield self.mark("hard", target, ast.unparse(target), "replaces a part of a library")
            elif self.root_name(target) in self.globals:
                yield self.mark("review", target, ast.unparse(target), "keeps state between calls")
            elif self.root_name(target) != "self":
                yield self.mark("review", target, ast.unparse(target), "changes an object that is not its own")

    def root_name(self, node: ast.AST) -> str:
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        return node.id if isinstance(node, ast.Name) else ""

    def _statements(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield self.mark("review", node, f"{type(node).__name__.lower()} {', '.join(node.names)}", "keeps state between calls")
        elif isinstance(node, _TRY) and not _guards_imports(node):
            yield self.mark("review", node, "try", "may fall back to something else than the kernel")
        elif isinstance(node, ast.ClassDef):
            bases = " ".join(ast.unparse(base) for base in node.bases)
            if re.search(r"Tensor|Function|Module|Mode|Storage", bases):
                yield self.mark(
                    "hard" if "Tensor" in bases or "Mode" in bases else "review",
                    node,
                    f"class {node.name}({bases})",
                    "changes what tensors do, or puts work off",
                )
            if any(
                isinstance(item, ast.FunctionDef)
                and item.name.startswith("__")
                and item.name not in ("__init__", "__call__", "__post_init__", "__repr__", "__len__")
                for item in node.body
            ):
                yield self.mark("review", node, f"class {node.name}", "runs code where none is seen")
        elif isinstance(node, ast.Yield | ast.YieldFrom | ast.Await | ast.AsyncFunctionDef):
            yield self.mark("review", node, type(node).__name__.lower(), "keeps state between calls or puts work off")
        elif isinstance(node, ast.FunctionDef) and any(_is_mutable(item) for item in [*node.args.defaults, *node.args.kw_defaults] if item):
            yield self.mark("review", node, f"a changeable default of {node.name}", "keeps state between calls")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("next", "iter"):
            yield self.mark("review", node, node.func.id, "keeps state between calls")
        if isinstance(node, ast.Attribute | ast.Name) and self._full_name(node) in ("itertools.count", "itertools.cycle", "itertools.tee"):
            yield self.mark("review", node, ast.unparse(node), "keeps state between calls")

    def _literals(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            count = sum(isinstance(item, ast.Constant) for item in ast.walk(node))
            if count > _BIG_LITERAL:
                yield self.mark("review", node, f"a literal of {count} values", "answers may be written into the source")
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and not self._is_docstring(node):
            if len(node.value) > 400:
                yield self.mark("review", node, f"a string of {len(node.value)} characters", "data or code in a string")
            if re.search(r"__\w+__", str(node.value)) and node.value != "__main__":
                yield self.mark("hard", node, str(node.value), "an inside name kept in a string")
            words = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if re.fullmatch(r"(?:.*_)?(?:getframe|perf_counter|synchronize|elapsed_time|modules|globals|builtins)", words):
                yield self.mark("review", node, words, "a name kept in a string")
        if self.float_only_32 and isinstance(node, ast.Attribute) and node.attr in self.rules["coarse_types"]:
            yield self.mark("review", node, f".{node.attr}", "a coarser type than the definition's")

    def _is_docstring(self, node: ast.Constant) -> bool:
        owners = [self.tree, *(item for item in ast.walk(self.tree) if isinstance(item, ast.FunctionDef | ast.ClassDef))]
        return any(item.body and isinstance(item.body[0], ast.Expr) and item.body[0].value is node for item in owners)

    def _libraries(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield self.mark("library", node, "@", "a library call that does the operation")
        if (
            isinstance(node, ast.Attribute)
            and node.attr in self.rules["library_calls"]
            and not self._root_module(node).startswith("triton")
        ):
            yield self.mark("library", node, f".{node.attr}", "a library call that does the operation")
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            full = f"{self._root_module(node)}.{node.attr}"
            if full in self.rules["library_modules"]:
                yield self.mark("library", node, full, "a library that does the operation")
        if (
            isinstance(node, ast.Name)
            and self.modules.get(node.id, "").rsplit(".", 1)[-1] in self.rules["library_calls"]
            and self.modules[node.id].startswith("torch")
        ):
            yield self.mark("library", node, node.id, "a library call that does the operation")

    def _top_level(self) -> Iterator[Mark]:
        """What runs when the module is imported."""
        for node in self.tree.body:
            if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
                yield self.mark("review", node, ast.unparse(node), "runs when the module is imported")
            elif isinstance(node, ast.For | ast.While | ast.With | ast.If) and any(isinstance(item, ast.Call) for item in ast.walk(node)):
                yield self.mark("review", node, type(node).__name__.lower(), "runs when the module is imported")


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(local name, dotted module or member)"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname or alias.name.split(".")[0]), (alias.name if alias.asname else alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield (alias.asname or alias.name), f"{node.module}.{alias.name}"


def _module_names(tree: ast.Module) -> set[str]:
    """Names bound at the top of the module: variables, functions and classes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.With | ast.If | ast.Try):
            found |= {part.id for part in ast.walk(statement) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return found


def _plain_constants(tree: ast.Module) -> set[str]:
    """Module-level names bound to a number, a string or a tuple of those."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and all(isinstance(item, ast.Constant | ast.Tuple | ast.Load) for item in ast.walk(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _is_jitted(node: ast.FunctionDef) -> bool:
    return any(re.search(r"(^|\.)jit\b", ast.unparse(item)) and "torch" not in ast.unparse(item) for item in node.decorator_list)


def _guards_imports(node: ast.AST) -> bool:
    if not isinstance(node, ast.Try):
        return False
    simple = (ast.Import, ast.ImportFrom, ast.Pass)
    names = all(
        isinstance(handler.type, ast.Name) and handler.type.id in ("ImportError", "ModuleNotFoundError") for handler in node.handlers
    )
    bodies = [item for handler in node.handlers for item in handler.body]
    plain = all(isinstance(item, simple) or (isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)) for item in bodies)
    return names and plain and all(isinstance(item, simple) for item in node.body)


def _is_mutable(node: ast.expr) -> bool:
    plain = (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "int", "tuple", "frozenset", "bool")
    )
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.Call | ast.ListComp | ast.DictComp) and not plain


def _filled(function: ast.FunctionDef, call: ast.Call, state: State) -> set[str]:
    """Parameters of `function` that `call` fills with data."""
    names = [item.arg for item in [*function.args.posonlyargs, *function.args.args]]
    found = {name for name, value in zip(names, call.args, strict=False) if state.is_data(value)}
    found |= {word.arg for word in call.keywords if word.arg and state.is_data(word.value)}
    spread = any(isinstance(value, ast.Starred) for value in call.args) or any(word.arg is None for word in call.keywords)
    return set(names) if spread or function.args.vararg or function.args.kwarg else found

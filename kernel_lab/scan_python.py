"""Static scan of Python and Triton sources: the AST against the rules; what is kept between calls is `scan_state`'s part."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from kernel_lab.scan import Mark, rules, words
from kernel_lab.scan_flow import Flow, Hints
from kernel_lab.scan_module import Module, root_name
from kernel_lab.scan_state import State
from kernel_lab.solution import Solution

_BIG_LITERAL, _MANY_NUMBERS, _MOST_NODES = 64, 600, 12_000
_TRY: tuple[type[ast.AST], ...] = (ast.Try, *([ast.TryStar] if sys.version_info >= (3, 11) else []))
_BLOCKS = (ast.For, ast.While, ast.With, ast.If, ast.Match)
_HARMLESS_SYS = ("version_info", "maxsize", "float_info")
_SETTERS = re.compile(r"set(_|err|buf|call|[A-Z])|simplefilter|filterwarnings|register")
_INSIDE = "reaches the inside of other code"
_PROCESS = "streams, clocks, addresses, seeds or the environment"
_KEEPS = "keeps state between calls"


def scan_python(path: str, text: str, solution: Solution, float_only_32: bool, scalars: frozenset[int] = frozenset()) -> list[Mark]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return [Mark("hard", path, getattr(error, "lineno", 1) or 1, "not Python", str(error)[:120])]
    try:
        return list(PythonScan(path, tree, solution, float_only_32, scalars).marks())
    except RecursionError:
        return [Mark("hard", path, 1, "expressions without end", "text that is nested deeper than any kernel's")]


def _others(path: str, solution: Solution) -> dict[str, ast.Module]:
    """{module name: tree} of the solution's other Python sources that parse."""
    found = {}
    for other, text in solution.sources.items():
        if other != path and other.endswith(".py"):
            try:
                found[other.rsplit("/", 1)[-1].removesuffix(".py")] = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError):
                continue
    return found


class PythonScan:
    """One module."""

    def __init__(self, path: str, tree: ast.Module, solution: Solution, float_only_32: bool, scalars: frozenset[int]) -> None:
        self.path, self.tree, self.solution, self.float_only_32 = path, tree, solution, float_only_32
        self.rules = rules()["python"]
        self.module = Module(tree, _others(path, solution))
        # `if __name__ == "__main__":` is never entered: the candidate is imported.
        self._main = {id(item) for node in tree.body if self._is_never_run(node) for item in ast.walk(node)}
        self._is_long = len(self.module.nodes) > _MOST_NODES
        self.hints = Hints(Module(ast.Module([], [])) if self._is_long else self.module, solution.entry[1], scalars)

    def mark(self, tier: str, node: ast.AST, what: str, why: str) -> Mark:
        return Mark(tier, self.path, getattr(node, "lineno", 1), what[:60], why)

    def marks(self) -> Iterator[Mark]:
        names = (self._imports, self._names, self._attributes, self._patterns)
        checks = (*names, self._writes, self._statements, self._literals, self._libraries)
        for node in self.module.nodes:
            if id(node) in self.module.device_nodes and not isinstance(node, ast.Import | ast.ImportFrom):
                continue  # what runs on the device cannot reach the judge; compiling and running it is the other gates' work
            if id(node) in self._main:
                continue
            for check in checks:
                yield from check(node)
        yield from self._top_level()
        if self._is_long:
            yield self.mark(
                "review", self.tree, f"{len(self.module.nodes)} nodes", "more than the scan follows: what is kept was not looked for"
            )
            return
        for function in self.module.functions:
            if id(function) not in self.module.device_nodes and function not in self.module.jitted:
                state = State(Flow(self.module, function, self.hints))
                yield from (self.mark("review", node, what, why) for node, what, why in state.marks())

    def _imports(self, node: ast.AST) -> Iterator[Mark]:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            return
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            if node.level:
                return
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from self._imported_members(node)
        hard = dict(self.rules["hard_imports"])
        for name in names:
            parts = name.split(".")
            above = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            found = sorted(above & set(hard))
            if found:
                yield self.mark("hard", node, f"import {name}", hard[found[0]])
            elif set(parts) & set(self._flat("hard")):
                yield self.mark("hard", node, f"import {name}", _INSIDE)
            elif above & set(self.rules["library_modules"]):
                yield self.mark("library", node, f"import {name}", "a library that does the operation")
            elif name == names[0] or isinstance(node, ast.Import):
                yield from self._plain_import(node, name, parts)
            if name.endswith(".*"):
                yield self.mark("review", node, f"from {name[:-2]} import *", "hides where names come from")

    def _plain_import(self, node: ast.AST, name: str, parts: list[str]) -> Iterator[Mark]:
        private = any(part.startswith("_") for part in parts if part != "__future__")
        if parts[0] not in self.rules["allowed_imports"]:
            yield self.mark("review", node, f"import {name}", "not a module that kernels are known to need")
        elif parts[0] != "triton" and (private or set(parts[1:]) & set(self._flat("review"))):
            yield self.mark("review", node, f"import {name}", "a private part of a library" if private else _PROCESS)

    def _imported_members(self, node: ast.ImportFrom) -> Iterator[Mark]:
        for alias in node.names:
            if alias.name in self._flat("hard") or (node.module == "sys" and alias.name not in _HARMLESS_SYS):
                yield self.mark("hard", node, f"import {node.module}.{alias.name}", _INSIDE)
            elif alias.name in self._flat("review") and not str(node.module).startswith("triton"):
                yield self.mark("review", node, f"import {node.module}.{alias.name}", _PROCESS)
            elif self._is_foreign(str(node.module), alias.name):
                yield self.mark("review", node, f"import {node.module}.{alias.name}", "another module through a third one")

    def _is_foreign(self, root: str, name: str) -> bool:
        """A module of the standard library, reached through another module that happens to import it."""
        return bool(root) and name in sys.stdlib_module_names and name not in words("also_functions") and not root.startswith("collections")

    def _names(self, node: ast.AST) -> Iterator[Mark]:
        if not isinstance(node, ast.Name):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from self._called(node, node.func.id)
            return
        parent = self.module.parents.get(id(node))
        if node.id in self.rules["names"]["hard"]:
            yield self.mark("hard", node, node.id, "runs or reaches code that the scan cannot see")
        elif node.id.startswith("__") and node.id.endswith("__"):
            if node.id not in words("plain_dunders") or (node.id == "__name__" and not isinstance(node.ctx, ast.Load)):
                yield self.mark("hard", node, node.id, _INSIDE)
            elif node.id in ("__name__", "__file__"):
                yield self.mark("review", node, node.id, "tells where the code runs")
        elif node.id in self.rules["names"]["review"]:
            yield self.mark("review", node, node.id, "needs a look")
        elif node.id in ("getattr", "hasattr") and not (isinstance(parent, ast.Call) and parent.func is node):
            yield self.mark("hard", node, f"{node.id} handed on", "hides what is called")
        if not node.id.isascii():
            yield self.mark("review", node, node.id, "may read otherwise than it is")

    def _is_never_run(self, node: ast.stmt) -> bool:
        return isinstance(node, ast.If) and not node.orelse and self._is_main_guard(node.test)

    def _is_main_guard(self, node: ast.AST | None) -> bool:
        return isinstance(node, ast.Compare) and ast.unparse(node) in ("__name__ == '__main__'", "'__main__' == __name__")

    def _called(self, node: ast.Call, name: str) -> Iterator[Mark]:
        if name == "type" and len(node.args) + len(node.keywords) > 1:
            yield self.mark("hard", node, "type with bases", "makes a class that the scan cannot see")
        if name not in ("getattr", "hasattr"):
            return
        word = node.args[1] if len(node.args) > 1 else None
        if not (isinstance(word, ast.Constant) and isinstance(word.value, str)):
            yield self.mark("hard", node, f"{name} with a computed name", "hides what is called")
        elif word.value in self._flat("hard") or word.value.startswith("_"):
            yield self.mark("hard", node, f"{name} of {word.value}", _INSIDE)
        elif word.value in [*self._flat("review"), *self.rules["library_calls"]]:
            yield self.mark("review", node, f"{name} of {word.value}", "hides what is called")

    def _patterns(self, node: ast.AST) -> Iterator[Mark]:
        """`case object(name=value)` reads an attribute without the form of one."""
        if isinstance(node, ast.MatchClass) and node.kwd_attrs and root_name(node.cls) not in self.module.classes:
            yield self.mark("hard", node, f"case …({', '.join(node.kwd_attrs)})", "reads attributes where none are seen")

    def _flat(self, tier: str) -> list[str]:
        return list(self.rules["attributes"][tier])

    def _attributes(self, node: ast.AST) -> Iterator[Mark]:
        if not isinstance(node, ast.Attribute):
            return
        root = self.module.root_module(node)
        if root in ("triton.language", "triton.language.math", "triton.language.extra", "triton"):
            if node.attr == "testing":
                yield self.mark("review", node, "triton.testing", "measures time")
            if node.attr not in ("jit", "compile", "load", "rand", "randn", "randint", "random", "autograd", "testing"):
                yield from self._inside(node, root)
            return
        if node.attr in self._flat("hard"):
            yield self.mark("hard", node, f".{node.attr}", _INSIDE)
        elif node.attr in self._flat("review"):
            yield self.mark("review", node, f".{node.attr}", _PROCESS)
        else:
            yield from self._inside(node, root)
        if root == "sys":
            yield self.mark("review" if node.attr in _HARMLESS_SYS else "hard", node, f"sys.{node.attr}", "reaches the interpreter")

    def _inside(self, node: ast.Attribute, root: str) -> Iterator[Mark]:
        """Private names, and modules that are reached through other modules."""
        hard = dict(self.rules["hard_imports"])
        if node.attr == "__init__":
            if not (isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "super"):
                yield self.mark("review", node, ".__init__", "makes an object anew: keeps state between calls")
        elif node.attr == "__version__":
            yield self.mark("review", node, ".__version__", "tells where the code runs")
        elif node.attr.startswith("__") and node.attr not in ("__name__", "__len__", "__call__", "__doc__"):
            yield self.mark("hard", node, f".{node.attr}", _INSIDE)
        elif node.attr.startswith("_") and root and node.attr not in ("_scaled_mm",):
            yield self.mark("review", node, f".{node.attr}", "a private name of a library")
        elif root and node.attr in hard and node.attr not in words("also_functions"):
            yield self.mark("hard", node, f"{root}.{node.attr}", hard[node.attr])
        elif self._is_foreign(root, node.attr):
            yield self.mark("review", node, f"{root}.{node.attr}", "another module through a third one")
        elif root and not root.startswith("triton") and _SETTERS.match(node.attr):
            yield self.mark("review", node, f"{root}.{node.attr}", "changes how a library works, for later calls as well")

    def _writes(self, node: ast.AST) -> Iterator[Mark]:
        """Attributes that are written to, in whatever statement: assignments, loops, `with`, comprehensions, `del`."""
        if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)):
            return
        text, name = ast.unparse(node), root_name(node)
        if "backends" in text:
            yield self.mark("review", node, text, "changes how a library computes")
        elif name in self.module.imports:
            yield self.mark("hard", node, text, "replaces a part of a library")
        elif name in self.module.globals:
            yield self.mark("review", node, text, _KEEPS)
        elif name != "self":
            yield self.mark("review", node, text, "changes an object that is not its own")

    def _statements(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield self.mark("review", node, f"{type(node).__name__.lower()} {', '.join(node.names)}", _KEEPS)
        elif isinstance(node, _TRY) and not _guards_imports(node):
            yield self.mark("review", node, "try", "may fall back to something else than the kernel")
        elif isinstance(node, ast.ClassDef):
            yield from self._class(node)
        elif isinstance(node, ast.Yield | ast.YieldFrom | ast.Await | ast.AsyncFunctionDef):
            yield self.mark("review", node, type(node).__name__.lower(), "keeps state between calls or puts work off")
        elif isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from self._function(node)
        if isinstance(node, ast.Name) and node.id in ("next", "iter") and node.id in self.module.builtins:
            yield self.mark("review", node, node.id, _KEEPS)
        if isinstance(node, ast.Attribute | ast.Name):
            yield from self._keepers(node, self.module.full_name(node))

    def _function(self, node: ast.FunctionDef | ast.Lambda) -> Iterator[Mark]:
        name = node.name if isinstance(node, ast.FunctionDef) else "a lambda"
        plain = ("float", "int", "tuple", "frozenset", "bool")
        for item in [*node.args.defaults, *node.args.kw_defaults]:
            small = isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id in plain
            if item is not None and not small and not self.hints.is_plain_default(item):
                yield self.mark("review", node, f"a changeable default of {name}", _KEEPS)
        if name.startswith("__") and node in self.tree.body:
            yield self.mark("review", node, name, "runs code where none is seen")

    def _keepers(self, node: ast.AST, full: str) -> Iterator[Mark]:
        """Tools of the standard library that keep something, or set attributes, where that is not seen."""
        if full in ("itertools.count", "itertools.cycle", "itertools.tee", "collections.defaultdict"):
            yield self.mark("review", node, full, _KEEPS)
        elif full == "functools.update_wrapper" or (full == "functools.wraps" and self._has_keywords(node)):
            yield self.mark("hard", node, full, "replaces attributes of another object")
        elif full in ("functools.cache", "functools.lru_cache", "functools.cached_property") and not self._is_decorator(node):
            yield self.mark("review", node, full, "keeps results by their arguments")
        elif full in ("typing.get_type_hints", "typing.ForwardRef", "functools.singledispatch", "functools.singledispatchmethod"):
            yield self.mark("hard", node, full, "runs the text of annotations")

    def _has_keywords(self, node: ast.AST) -> bool:
        parent = self.module.parents.get(id(node))
        return isinstance(parent, ast.Call) and bool(parent.keywords)

    def _is_decorator(self, node: ast.AST) -> bool:
        parent = self.module.parents.get(id(node))
        if isinstance(parent, ast.Call) and parent.func is node:
            node, parent = parent, self.module.parents.get(id(parent))
        return isinstance(parent, ast.FunctionDef) and node in parent.decorator_list

    def _class(self, node: ast.ClassDef) -> Iterator[Mark]:
        bases = " ".join(ast.unparse(base) for base in [*node.bases, *(word.value for word in node.keywords)])
        names = [name.rsplit(".", 1)[-1] for name in bases.split()]
        if re.search(r"Tensor|Mode", bases):
            yield self.mark("hard", node, f"class {node.name}({bases})", "changes what tensors do, or puts work off")
        elif not all(name in words("plain_bases") or name in self.module.classes for name in names) and not re.match(
            r"(typing\.)?Generic\[", bases
        ):
            yield self.mark("review", node, f"class {node.name}({bases})", "may change what tensors do, or put work off")
        plain = ("__init__", "__call__", "__post_init__", "__repr__", "__len__")
        if any(isinstance(item, ast.FunctionDef) and item.name.startswith("__") and item.name not in plain for item in node.body):
            yield self.mark("review", node, f"class {node.name}", "runs code where none is seen")
        for item in node.body:
            if isinstance(item, ast.Assign | ast.AnnAssign) and item.value is not None and self.module.is_iterator(item.value):
                yield self.mark("review", item, ast.unparse(item), "remembers how far it was read: keeps state between calls")

    def _literals(self, node: ast.AST) -> Iterator[Mark]:
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            count = sum(isinstance(item, ast.Constant) for item in ast.walk(node))
            if count > _BIG_LITERAL:
                yield self.mark("review", node, f"a literal of {count} values", "answers may be written into the source")
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value.bit_length() > 256:
            yield self.mark("review", node, f"a number of {node.value.bit_length()} bits", "answers may be written into the source")
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and not self._is_docstring(node):
            if len(node.value) > 400:
                yield self.mark("review", node, f"a string of {len(node.value)} characters", "data or code in a string")
            if re.search(r"__\w+__", str(node.value)) and node.value != "__main__":
                yield self.mark("hard", node, str(node.value), "an inside name kept in a string")
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if re.fullmatch(r"(?:.*_)?(?:getframe|perf_counter|synchronize|elapsed_time|modules|globals|builtins)", text):
                yield self.mark("review", node, text, "a name kept in a string")
        if self.float_only_32 and isinstance(node, ast.Attribute) and node.attr in self.rules["coarse_types"]:
            yield self.mark("review", node, f".{node.attr}", "a coarser type than the definition's")

    def _is_docstring(self, node: ast.Constant) -> bool:
        owners = [self.tree, *(item for item in ast.walk(self.tree) if isinstance(item, ast.FunctionDef | ast.ClassDef))]
        return any(item.body and isinstance(item.body[0], ast.Expr) and item.body[0].value is node for item in owners)

    def _libraries(self, node: ast.AST) -> Iterator[Mark]:
        why = "a library call that does the operation"
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            yield self.mark("library", node, "@", why)
        if isinstance(node, ast.Attribute):
            full = self.module.full_name(node)
            if node.attr in self.rules["library_calls"] and not full.startswith("triton"):
                yield self.mark("library", node, f".{node.attr}", why)
            if full in self.rules["library_modules"] and isinstance(node.ctx, ast.Load):
                yield self.mark("library", node, full, "a library that does the operation")
        full = self.module.full_name(node) if isinstance(node, ast.Name) else ""
        if full.startswith("torch") and full.rsplit(".", 1)[-1] in self.rules["library_calls"]:
            yield self.mark("library", node, full, why)

    def _top_level(self) -> Iterator[Mark]:
        """What runs when the module is imported."""
        for node in self.tree.body:
            if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
                yield self.mark("review", node, ast.unparse(node), "runs when the module is imported")
            elif self._is_never_run(node):
                continue
            elif isinstance(node, _BLOCKS) and any(isinstance(item, ast.Call) for item in ast.walk(node)):
                yield self.mark("review", node, type(node).__name__.lower(), "runs when the module is imported")
        count = sum(isinstance(item, ast.Constant) and isinstance(item.value, int | float) for item in self.module.nodes)
        if count > _MANY_NUMBERS:
            yield self.mark("review", self.tree, f"{count} numbers", "answers may be written into the source")
        for name, values in self.module.bindings.items():
            for value in values:
                if value is not None and any(self.module.is_iterator(item) for item in _parts(value)):
                    yield self.mark("review", value, name, "remembers how far it was read: keeps state between calls")


def _parts(value: ast.expr) -> Iterator[ast.expr]:
    """A value and what it holds as it is; what a call makes of its arguments is the call's."""
    yield value
    for child in ast.iter_child_nodes(value):
        if isinstance(child, ast.expr) and isinstance(value, ast.Tuple | ast.List | ast.Dict | ast.IfExp | ast.BoolOp | ast.NamedExpr):
            yield from _parts(child)


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

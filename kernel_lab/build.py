"""Build: compiles a solution without a GPU and tells stage, registers, spills, shared memory, stack and the hardware paths really used."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from kernel_lab import environment, toolchain
from kernel_lab.build_native import compile_cpp, compile_cuda, line_of
from kernel_lab.build_triton import compile_triton
from kernel_lab.code_paths import no_paths
from kernel_lab.dataset import Definition, Workload
from kernel_lab.files import canonical, sha256, write_whole
from kernel_lab.solution import Solution

MAX_LOG = 60


def build(
    solution: Solution, definition: Definition, arch: str, cache_folder: Path | None, workload: Workload | None = None
) -> dict[str, Any]:
    """Compile for `arch` and describe the result; the result is kept by content. Raises MissingBackend where a compiler is missing."""
    key = sha256(canonical([solution.id, arch, environment.judge_digest(), _tools(solution)]))
    kept = _kept(cache_folder, key)
    if kept is not None:
        return {**kept, "cached": True}
    makers = {"cuda": compile_cuda, "cpp": compile_cpp, "triton": compile_triton, "python": _python, "tilelang": _python}
    found = _syntax(solution, definition)
    if found is None:
        found = makers[solution.language](solution, arch, definition, workload)
    result = {"candidate": solution.id, "arch": arch, "language": solution.language, **_described(found)}
    if cache_folder is not None:
        write_whole(cache_folder / f"{key}.json", canonical({"key": key, "result": result, "sha256": sha256(canonical(result))}))
    return {**result, "cached": False, "cache_key": key}


def _tools(solution: Solution) -> list[str]:
    if solution.language == "triton":
        return [environment.version("triton")]
    nvcc = toolchain.find("nvcc")
    return [str(nvcc), str(nvcc.stat().st_mtime_ns) if nvcc else "", environment.version("apache-tvm-ffi")]


def _kept(folder: Path | None, key: str) -> dict[str, Any] | None:
    """A result from the cache, None when there is none or its bytes were changed."""
    path = folder / f"{key}.json" if folder else None
    if path is None or not path.is_file():
        return None
    try:
        kept = json.loads(path.read_bytes())
        whole = kept["key"] == key and kept["sha256"] == sha256(canonical(kept["result"]))
    except (ValueError, KeyError, TypeError):
        whole = False
    return {**kept["result"], "cache_key": key} if whole else None


def _described(found: dict[str, Any]) -> dict[str, Any]:
    """The result with totals over its kernels: the most registers, shared memory and stack of any, the sum of spills."""
    kernels = found.get("kernels", [])

    def most(key: str) -> int:
        return max((int(kernel.get(key, 0)) for kernel in kernels), default=0)

    return {
        "ok": found["ok"], "stage": found["stage"], "registers": most("registers"), "shared_bytes": most("shared_bytes"),
        "stack_bytes": most("stack_bytes"),
        "spills": sum(int(kernel.get("spill_bytes", 0)) for kernel in kernels), "paths": {**no_paths(), **found.get("paths", {})},
        "kernels": kernels, "log": found.get("log", [])[:MAX_LOG], "note": found.get("note", ""),
        "code_sha256": found.get("code_sha256", ""),
    }  # fmt: skip


def _syntax(solution: Solution, definition: Definition) -> dict[str, Any] | None:
    """A failed result where a Python source does not parse or the entry does not fit the definition; else None."""
    log = []
    for path, text in solution.sources.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError) as error:
                log.append(line_of(path, getattr(error, "lineno", None) or 1, "error", str(error)))
                continue
            if path == solution.entry[0]:
                log += _entry_problems(tree, solution, definition)
    return {"ok": False, "stage": "parse", "log": log} if log else None


def _entry_problems(tree: ast.Module, solution: Solution, definition: Definition) -> list[dict[str, Any]]:
    file, symbol = solution.entry
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    bound = {part.id for node in tree.body for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    bound |= {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    if symbol not in functions:
        return (
            []
            if symbol in bound
            else [line_of(file, 1, "error", f"there is no function {symbol!r}; the entry point names {file}::{symbol}")]
        )
    arguments = functions[symbol].args
    count = len(arguments.posonlyargs) + len(arguments.args)
    wanted = len(definition.inputs) + (len(definition.outputs) if solution.passes_outputs else 0)
    if arguments.vararg or count == wanted or count - len(arguments.defaults) <= wanted <= count:
        return []
    names = [tensor.name for tensor in (*definition.inputs, *(definition.outputs if solution.passes_outputs else ()))]
    text = f"{symbol} takes {count} arguments; {wanted} are passed: {', '.join(names)}"
    if solution.passes_outputs:
        text += " (destination passing: outputs come last; set destination_passing_style to false to return them)"
    return [line_of(file, functions[symbol].lineno, "error", text)]


def _python(solution: Solution, *_: Any) -> dict[str, Any]:
    return {"ok": True, "stage": "parse", "note": "Python: nothing to compile"}

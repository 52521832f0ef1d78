"""Build: compiles a solution without a GPU and tells stage, registers, spills, shared memory, stack and the hardware paths really used."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kernel_lab import environment, toolchain
from kernel_lab.child import site_folders
from kernel_lab.dataset import Definition, Workload
from kernel_lab.files import canonical, sha256, write_whole
from kernel_lab.solution import Solution

_CUDA, _CPP = {".cu"}, {".cpp", ".cc", ".cxx", ".c"}
_NVCC_LINE = re.compile(r"^(?P<file>[^\s:(]+)\((?P<line>\d+)\): (?P<severity>error|warning|catastrophic error)(?: #[\w-]+)?: (?P<text>.*)$")
_GCC_LINE = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+)(?::\d+)?: (?P<severity>fatal error|error|warning): (?P<text>.*)$")
_PTXAS_LINE = re.compile(r"^ptxas (?:info\s*:\s*)?(?P<file>\S+\.ptx), line (?P<line>\d+); (?P<severity>error|warning)\s*: (?P<text>.*)$")
_ENTRY = re.compile(r"Compiling entry function '(?P<name>[^']+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")
MAX_LOG = 60


@cache
def path_table() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = yaml.safe_load(Path(__file__).with_name("code_paths.yaml").read_text(encoding="utf-8"))
    return found


def no_paths() -> dict[str, bool]:
    return dict.fromkeys(path_table(), False)


def build(
    solution: Solution, definition: Definition, arch: str, cache_folder: Path | None, workload: Workload | None = None
) -> dict[str, Any]:
    """Compile for `arch` and describe the result; the result is kept by content. Raises MissingBackend where a compiler is missing."""
    key = sha256(canonical([solution.id, arch, environment.judge_digest(), _tools(solution)]))
    kept = _kept(cache_folder, key)
    if kept is not None:
        return {**kept, "cached": True}
    makers = {"cuda": _cuda, "cpp": _cpp, "triton": _triton, "python": _python, "tilelang": _python}
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
        "ok": found["ok"], "stage": found["stage"], "registers": most("registers"), "shared_bytes": most("shared_bytes"), "stack_bytes": most("stack_bytes"),  # noqa: E501
        "spills": sum(int(kernel.get("spill_bytes", 0)) for kernel in kernels), "paths": {**no_paths(), **found.get("paths", {})},
        "kernels": kernels, "log": found.get("log", [])[:MAX_LOG], "note": found.get("note", ""), "code_sha256": found.get("code_sha256", ""),  # noqa: E501
    }  # fmt: skip


def _line(file: str, line: int, severity: str, text: str) -> dict[str, Any]:
    return {"file": file, "line": line, "severity": severity, "text": text[:500]}


def _syntax(solution: Solution, definition: Definition) -> dict[str, Any] | None:
    """A failed result where a Python source does not parse or the entry does not fit the definition; else None."""
    log = []
    for path, text in solution.sources.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError) as error:
                log.append(_line(path, getattr(error, "lineno", None) or 1, "error", str(error)))
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
            [] if symbol in bound else [_line(file, 1, "error", f"there is no function {symbol!r}; the entry point names {file}::{symbol}")]
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
    return [_line(file, functions[symbol].lineno, "error", text)]


def _python(solution: Solution, *_: Any) -> dict[str, Any]:
    return {"ok": True, "stage": "parse", "note": "Python: nothing to compile"}


def _cuda(solution: Solution, arch: str, *_: Any) -> dict[str, Any]:
    if arch == "cpu":
        return {
            "ok": False,
            "stage": "nvcc",
            "log": [_line(solution.entry[0], 1, "error", "the contract is for CPU functions; a CUDA solution cannot run under it")],
        }
    nvcc = toolchain.require("nvcc")
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
        folder = Path(name)
        _write_sources(solution, folder)
        found: dict[str, Any] = {"ok": True, "stage": "ptxas", "kernels": [], "paths": no_paths(), "log": [], "code_sha256": ""}
        for path in sorted(path for path in solution.sources if Path(path).suffix in _CUDA):
            _one_unit(nvcc, folder, path, arch, solution, found)
        for path in sorted(path for path in solution.sources if Path(path).suffix in _CPP) if found["ok"] else []:
            _host_unit(folder, path, solution, found)
        _missing_symbol(solution, found)
    return found


def _write_sources(solution: Solution, folder: Path) -> None:
    for path, text in solution.sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _flags(folder: Path) -> list[str]:
    return ["-std=c++17", f"-I{folder}", *(f"-I{item}" for item in toolchain.include_folders())]


def _one_unit(nvcc: Path, folder: Path, path: str, arch: str, solution: Solution, found: dict[str, Any]) -> None:  # noqa: PLR0917
    number = arch.removeprefix("sm_")
    command = [
        str(nvcc),
        "-cubin",
        "-O3",
        "-lineinfo",
        "--expt-relaxed-constexpr",
        "-Xptxas",
        "-v",
        "-gencode",
        f"arch=compute_{number},code=sm_{number}",
    ]
    done = toolchain.run([*command, *_flags(folder), path, "-o", "unit.cubin"], folder)
    found["log"] += _log(done.text, folder, solution)
    if done.status:
        found["ok"] = False
        found["stage"] = "ptxas" if "ptxas" in done.text and "error" in done.text.split("ptxas", 1)[1] else "nvcc"
        if found["stage"] == "ptxas":
            _locate_ptx(nvcc, folder, path, number, found)
        if not any(line["severity"] == "error" for line in found["log"]):
            found["log"].append(_line(path, 1, "error", done.text.strip()[-400:] or f"nvcc ended with status {done.status}"))
        return
    cubin = folder / "unit.cubin"
    if not cubin.is_file():
        return
    found["code_sha256"] = sha256((found["code_sha256"] + sha256(cubin.read_bytes())).encode())
    found["kernels"] += _resources(done.text, path)
    for name, used in _sass_paths(cubin, folder).items():
        found["paths"][name] = found["paths"][name] or used


def _log(text: str, folder: Path, solution: Solution) -> list[dict[str, Any]]:
    """Diagnostics with the file as the solution names it."""
    rows = []
    for raw in text.splitlines():
        match = next((found for found in (pattern.match(raw) for pattern in (_NVCC_LINE, _GCC_LINE, _PTXAS_LINE)) if found), None)
        if match:
            file = match["file"].replace(f"{folder}/", "")
            file = file if file in solution.sources or file.endswith(".ptx") else Path(file).name
            severity = "warning" if match["severity"] == "warning" else "error"
            rows.append(_line(file, int(match["line"]), severity, match["text"]))
        elif raw.startswith(("nvcc fatal", "ptxas fatal")) and "aborted due to errors" not in raw:
            rows.append(_line(solution.entry[0], 1, "error", raw))
    return rows


def _locate_ptx(nvcc: Path, folder: Path, path: str, number: str, found: dict[str, Any]) -> None:
    """Give ptxas' messages, which name lines of PTX, the source line that the PTX came from."""
    flags = ["-ptx", "-O3", "-lineinfo", "--expt-relaxed-constexpr", "-gencode", f"arch=compute_{number},code=compute_{number}"]
    toolchain.run([str(nvcc), *flags, *_flags(folder), path, "-o", "unit.ptx"], folder)
    ptx = folder / "unit.ptx"
    if not ptx.is_file():
        return
    lines = ptx.read_text(encoding="utf-8", errors="replace").splitlines()
    files = {match[1]: match[2] for match in re.finditer(r'^\s*\.file\s+(\d+)\s+"([^"]+)"', "\n".join(lines), re.M)}
    for row in found["log"]:
        if not row["file"].endswith(".ptx"):
            continue
        near = next(
            (
                match
                for index in range(min(row["line"], len(lines)) - 1, -1, -1)
                if (match := re.match(r"\s*\.loc\s+(\d+)\s+(\d+)", lines[index]))
            ),
            None,
        )
        row["text"] = f"{row['text']} (PTX line {row['line']})"
        row["file"], row["line"] = (files.get(near[1], path).replace(f"{folder}/", ""), int(near[2])) if near else (path, 1)


def _resources(text: str, path: str) -> list[dict[str, Any]]:
    """Per kernel, from `ptxas -v`."""
    kernels: list[dict[str, Any]] = []
    for line in text.splitlines():
        entry, stack, used = _ENTRY.search(line), _STACK.search(line), _USED.search(line)
        if entry:
            kernels.append({"name": entry["name"], "file": path, "registers": 0, "spill_bytes": 0, "stack_bytes": 0, "shared_bytes": 0})
        elif kernels and stack:
            kernels[-1].update(stack_bytes=int(stack[1]), spill_bytes=int(stack[2]) + int(stack[3]))
        elif kernels and used:
            shared = _SHARED.search(line)
            kernels[-1].update(registers=int(used[1]), shared_bytes=int(shared[1]) if shared else 0)
    return kernels


def _resource_usage(cubin: Path, folder: Path) -> dict[str, int]:
    """Registers, stack and local memory that a cubin states, where cuobjdump is here; empty elsewhere."""
    tool = toolchain.find("cuobjdump")
    text = toolchain.run([str(tool), "-res-usage", str(cubin)], folder).text if tool else ""
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", text)
    return {"registers": int(found[1]), "stack_bytes": int(found[2]), "spill_bytes": int(found[3])} if found else {}


def _sass_paths(cubin: Path, folder: Path) -> dict[str, bool]:
    tool = toolchain.find("nvdisasm") or toolchain.find("cuobjdump")
    if tool is None:
        return {}
    command = [str(tool), "-c", str(cubin)] if tool.name == "nvdisasm" else [str(tool), "-sass", str(cubin)]
    return sass_paths(toolchain.run(command, folder).text)


def sass_paths(text: str) -> dict[str, bool]:
    opcodes = {
        match.split(".")[0]
        for match in re.findall(r"^\s*(?:/\*[0-9a-f]{4,}\*/)?\s*(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]+(?:\.[A-Z0-9_.]+)?)\b", text, re.M)
    }
    return {name: bool(opcodes & set(row["sass"])) for name, row in path_table().items()}


def ptx_paths(text: str) -> dict[str, bool]:
    return {name: any(stem in text for stem in row["ptx"]) for name, row in path_table().items()}


def _missing_symbol(solution: Solution, found: dict[str, Any]) -> None:
    """TVM-FFI exports are named in the source: an entry point that nothing exports fails at link time, so say it now."""
    symbol = solution.entry[1]
    text = "\n".join(solution.sources.values())
    exported = re.search(
        rf"TVM_FFI_DLL_EXPORT_TYPED_FUNC\s*\(\s*{re.escape(symbol)}\b|__tvm_ffi_{re.escape(symbol)}\b|m\.def\s*\(\s*\"{re.escape(symbol)}\"|PYBIND11_MODULE",
        text,
    )
    if found["ok"] and not exported:
        found["ok"], found["stage"] = False, "link"
        found["log"].append(
            _line(solution.entry[0], 1, "error", f"nothing exports {symbol!r}: add TVM_FFI_DLL_EXPORT_TYPED_FUNC({symbol}, …)")
        )


def _host_unit(folder: Path, path: str, solution: Solution, found: dict[str, Any]) -> None:
    compiler = toolchain.find("g++") or toolchain.find("c++") or toolchain.find("clang++")
    if compiler is None:
        found["note"] = "no host C++ compiler here: C++ sources were not checked"
        return
    done = toolchain.run([str(compiler), "-fsyntax-only", *_flags(folder), path], folder)
    found["log"] += _log(done.text, folder, solution)
    if done.status:
        found.update(ok=False, stage="c++")


def _cpp(solution: Solution, *_: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"ok": True, "stage": "c++", "log": [], "kernels": []}
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
        _write_sources(solution, Path(name))
        for path in sorted(path for path in solution.sources if Path(path).suffix in _CPP):
            _host_unit(Path(name), path, solution, found)
    _missing_symbol(solution, found)
    return found


def _triton(solution: Solution, arch: str, definition: Definition, workload: Workload | None) -> dict[str, Any]:
    """Triton's compiler in a confined process of its own: the candidate's Python runs there, its launches only compile."""
    if not environment.version("triton") or not environment.version("torch"):
        return {
            "ok": True,
            "stage": "parse",
            "note": "triton and torch are not installed here: sources were parsed, not compiled (pip install triton torch)",
        }
    if arch == "cpu" or workload is None:
        return {
            "ok": False,
            "stage": "import",
            "log": [_line(solution.entry[0], 1, "error", "the contract is for CPU functions; a Triton solution cannot run under it")],
        }
    tensors = [
        {
            "shape": list(definition.shape(item, workload.axes)),
            "dtype": item.dtype,
            "scalar": item.shape is None,
            "value": workload.inputs.get(item.name, {}).get("value"),
        }
        for item in (*definition.inputs, *(definition.outputs if solution.passes_outputs else ()))
    ]
    job = {
        "arch": arch, "sources": solution.document["sources"], "file": solution.entry[0], "symbol": solution.entry[1], "id": solution.id, "tensors": tensors,  # noqa: E501
        "hide": [os.environ["HOME"]] if len(os.environ.get("HOME", "")) > 1 else [],
        "keep": [sys.prefix, sys.base_prefix, str(Path(__file__).parent), *map(str, site_folders())],
    }  # fmt: skip
    answer, words = _run_triton(job)
    return _triton_result(solution, answer.get("kernels", []), words, failed=not answer.get("done"))


def _run_triton(job: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """(what the worker wrote, what it printed)"""
    result = os.memfd_create("result", 0)
    command = [sys.executable, "-I", "-B", str(Path(__file__).with_name("triton_worker.py")), str(result)]
    fixed = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job).encode(),
            capture_output=True,
            cwd="/",
            timeout=toolchain.TIMEOUT_S,
            check=False,
            env=fixed,
            pass_fds=[result],
        )
        words = (done.stdout + done.stderr).decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        words = f"Triton took longer than {toolchain.TIMEOUT_S} s"
    with os.fdopen(result, "rb") as stream:
        stream.seek(0)
        text = stream.read(256 << 20)
    try:
        return dict(json.loads(text)), words
    except (ValueError, TypeError):
        return {}, words


def _triton_result(solution: Solution, kernels: list[dict[str, Any]], words: str, failed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ok": bool(kernels) and not failed,
        "stage": "ptxas" if kernels else "import",
        "kernels": [],
        "paths": no_paths(),
        "log": [],
    }
    for kernel in kernels:
        ptx, image = str(kernel.pop("ptx")), base64.b64decode(kernel.pop("cubin"))
        with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
            cubin = Path(name) / "unit.cubin"
            cubin.write_bytes(image)
            used = _sass_paths(cubin, Path(name))
            kernel.update(_resource_usage(cubin, Path(name)))
        for name, here in (used or ptx_paths(ptx)).items():
            found["paths"][name] = found["paths"][name] or here
        found["kernels"].append({**kernel, "paths": [name for name, here in ptx_paths(ptx).items() if here]})
    if failed or not kernels:
        package = f"candidate_{solution.id[:12]}"
        places = re.findall(rf'File "[^"]*{package}/([^"]+)", line (\d+)', words) or (re.findall(r"at (\d+):(\d+):", words) and [])
        file, line = (places[-1][0], int(places[-1][1])) if places else (solution.entry[0], 1)
        text = words.strip().splitlines()[-1] if words.strip() else "no kernel was launched"
        found["log"].append(_line(file, line, "error", text))
        found["note"] = words.strip()[-1500:]
    return found

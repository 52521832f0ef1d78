"""Native build: C++ and CUDA sources through nvcc and the host compiler, with resources and diagnostics at the source's own lines."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from kernel_lab import toolchain
from kernel_lab.code_paths import no_paths, paths_of_cubin
from kernel_lab.files import sha256
from kernel_lab.solution import Solution

_CUDA, _CPP = {".cu"}, {".cpp", ".cc", ".cxx", ".c"}
_NVCC_LINE = re.compile(r"^(?P<file>[^\s:(]+)\((?P<line>\d+)\): (?P<severity>error|warning|catastrophic error)(?: #[\w-]+)?: (?P<text>.*)$")
_GCC_LINE = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+)(?::\d+)?: (?P<severity>fatal error|error|warning): (?P<text>.*)$")
_PTXAS_LINE = re.compile(r"^ptxas (?:info\s*:\s*)?(?P<file>\S+\.ptx), line (?P<line>\d+); (?P<severity>error|warning)\s*: (?P<text>.*)$")
_ENTRY = re.compile(r"Compiling entry function '(?P<name>[^']+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")


def line_of(file: str, line: int, severity: str, text: str) -> dict[str, Any]:
    """One line of a build's log."""
    return {"file": file, "line": line, "severity": severity, "text": text[:500]}


def compile_cuda(solution: Solution, arch: str, *_: Any) -> dict[str, Any]:
    if arch == "cpu":
        return {
            "ok": False,
            "stage": "nvcc",
            "log": [line_of(solution.entry[0], 1, "error", "the contract is for CPU functions; a CUDA solution cannot run under it")],
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
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as kept:  # apart from the sources, whose names are the candidate's
        cubin, ptx_file = Path(kept) / "unit.cubin", Path(kept) / f"{Path(path).stem}.ptx"
        done = toolchain.run([*command, *_flags(folder), path, "-o", str(cubin), "--keep", "--keep-dir", kept], folder)
        ptx = ptx_file.read_text(encoding="utf-8", errors="replace") if ptx_file.is_file() else ""
        found["log"] += _log(done.text, folder, solution)
        if done.status:
            _failed(done, ptx, folder, path, found)
        elif cubin.is_file():
            found["code_sha256"] = sha256((found["code_sha256"] + sha256(cubin.read_bytes())).encode())
            found["kernels"] += _resources(done.text, path)
            for name, used in paths_of_cubin(cubin, ptx, folder).items():
                found["paths"][name] = found["paths"][name] or used


def _failed(done: toolchain.Done, ptx: str, folder: Path, path: str, found: dict[str, Any]) -> None:
    found["ok"] = False
    found["stage"] = "ptxas" if "ptxas" in done.text and "error" in done.text.split("ptxas", 1)[1] else "nvcc"
    if found["stage"] == "ptxas" and ptx:
        _locate_ptx(ptx, folder, path, found)
    if not any(line["severity"] == "error" for line in found["log"]):
        found["log"].append(line_of(path, 1, "error", done.text.strip()[-400:] or f"nvcc ended with status {done.status}"))


def _log(text: str, folder: Path, solution: Solution) -> list[dict[str, Any]]:
    """Diagnostics with the file as the solution names it."""
    rows = []
    for raw in text.splitlines():
        match = next((found for found in (pattern.match(raw) for pattern in (_NVCC_LINE, _GCC_LINE, _PTXAS_LINE)) if found), None)
        if match:
            file = match["file"].replace(f"{folder}/", "")
            file = file if file in solution.sources or file.endswith(".ptx") else Path(file).name
            severity = "warning" if match["severity"] == "warning" else "error"
            rows.append(line_of(file, int(match["line"]), severity, match["text"]))
        elif raw.startswith(("nvcc fatal", "ptxas fatal")) and "aborted due to errors" not in raw:
            rows.append(line_of(solution.entry[0], 1, "error", raw))
    return rows


def _locate_ptx(ptx: str, folder: Path, path: str, found: dict[str, Any]) -> None:
    """Give ptxas' messages, which name lines of PTX, the source line that the PTX came from."""
    lines = ptx.splitlines()
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
            line_of(solution.entry[0], 1, "error", f"nothing exports {symbol!r}: add TVM_FFI_DLL_EXPORT_TYPED_FUNC({symbol}, …)")
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


def compile_cpp(solution: Solution, *_: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"ok": True, "stage": "c++", "log": [], "kernels": []}
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
        _write_sources(solution, Path(name))
        for path in sorted(path for path in solution.sources if Path(path).suffix in _CPP):
            _host_unit(Path(name), path, solution, found)
    _missing_symbol(solution, found)
    return found

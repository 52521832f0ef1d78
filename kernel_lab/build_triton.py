"""Triton build: a solution's launches compiled in a confined process of its own, without a GPU."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kernel_lab import environment, toolchain
from kernel_lab.build_native import line_of
from kernel_lab.child import site_folders
from kernel_lab.code_paths import no_paths, paths_of_cubin, ptx_paths, resource_usage
from kernel_lab.dataset import Definition, Workload
from kernel_lab.solution import Solution


def compile_triton(solution: Solution, arch: str, definition: Definition, workload: Workload | None) -> dict[str, Any]:
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
            "log": [line_of(solution.entry[0], 1, "error", "the contract is for CPU functions; a Triton solution cannot run under it")],
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
        "arch": arch, "sources": solution.document["sources"], "file": solution.entry[0], "symbol": solution.entry[1],
        "id": solution.id, "tensors": tensors,
        "hide": [os.environ["HOME"]] if len(os.environ.get("HOME", "")) > 1 else [],
        "keep": [sys.prefix, sys.base_prefix, str(Path(__file__).parent), *map(str, site_folders())],
    }  # fmt: skip
    answer, words = _run_triton({**job, "shapes": True})
    if answer.get("needs_torch"):
        answer, words = _run_triton({**job, "shapes": False})
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
            used = paths_of_cubin(cubin, ptx, Path(name))
            kernel.update(resource_usage(cubin, Path(name)))
        for name, here in (used or ptx_paths(ptx)).items():
            found["paths"][name] = found["paths"][name] or here
        found["kernels"].append({**kernel, "paths": [name for name, here in ptx_paths(ptx).items() if here]})
    if failed or not kernels:
        package = f"candidate_{solution.id[:12]}"
        places = re.findall(rf'File "[^"]*{package}/([^"]+)", line (\d+)', words) or (re.findall(r"at (\d+):(\d+):", words) and [])
        file, line = (places[-1][0], int(places[-1][1])) if places else (solution.entry[0], 1)
        text = words.strip().splitlines()[-1] if words.strip() else "no kernel was launched"
        found["log"].append(line_of(file, line, "error", text))
        found["note"] = words.strip()[-1500:]
    return found

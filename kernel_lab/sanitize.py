"""Sanitizer: runs a candidate once per workload under compute-sanitizer's memcheck, in a process of its own. Needs a GPU."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from kernel_lab.contract import Contract
from kernel_lab.files import canonical
from kernel_lab.solution import Solution

TIMEOUT_S = 240


def memcheck(contract: Contract, solution: Solution, library: bytes, tool: Path) -> tuple[str, str]:
    """(outcome of the gate, sentence). The smallest workload only: the tool is slow."""
    workload = min(contract.workloads, key=lambda item: sum(item.axes.values()))
    tensors = [
        {
            "shape": list(contract.definition.shape(item, workload.axes)),
            "dtype": item.dtype,
            "value": workload.inputs.get(item.name, {}).get("value"),
        }
        for item in (*contract.definition.inputs, *(contract.definition.outputs if solution.passes_outputs else ()))
    ]
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
        folder = Path(name)
        job = {
            "id": solution.id,
            "sources": solution.document["sources"],
            "file": solution.entry[0],
            "symbol": solution.entry[1],
            "tensors": tensors,
            "library": bool(library),
        }
        (folder / "job.json").write_bytes(canonical(job))
        (folder / "solution.so").write_bytes(library)
        command = [str(tool), "--tool", "memcheck", "--error-exitcode", "77", "--target-processes", "all", "--print-limit", "5"]
        command += [sys.executable, "-I", "-B", __file__, str(folder)]
        variables = {
            "PATH": f"{tool.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": name,
            "TMPDIR": name,
            "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
            "LANG": "C.UTF-8",
        }
        try:
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return "review", f"memcheck took longer than {TIMEOUT_S} s on workload {workload.uuid}"
        words = (done.stdout + done.stderr).decode("utf-8", "replace")
    errors = re.search(r"ERROR SUMMARY: (\d+) error", words)
    if done.returncode == 77 or (errors and int(errors[1])):
        first = next((line.strip("= \t") for line in words.splitlines() if "Invalid" in line or "Error" in line or "error" in line), "")
        return "fail", f"memcheck found {errors[1] if errors else 'some'} errors on workload {workload.uuid}: {first[:200]}"
    if errors is None or done.returncode:
        return "skip", f"memcheck did not finish here: {words.strip()[-200:]}"
    return "pass", f"memcheck found nothing on workload {workload.uuid}"


def run_once(folder: Path) -> None:
    """The process under the sanitizer: one call on random inputs."""
    import importlib
    import types

    import torch

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    package = f"candidate_{job['id'][:12]}"
    for item in job["sources"]:
        path = folder / package / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item["content"], encoding="utf-8")
    if job["library"]:
        import tvm_ffi

        run = getattr(tvm_ffi.load_module(str(folder / "solution.so")), job["symbol"])
    else:
        module = types.ModuleType(package)
        module.__path__ = [str(folder / package)]
        sys.modules[package] = module
        run = getattr(importlib.import_module(f"{package}.{job['file'].removesuffix('.py').replace('/', '.')}"), job["symbol"])
    values = []
    for item in job["tensors"]:
        made = torch.empty(item["shape"], dtype=getattr(torch, item["dtype"]), device="cuda")
        values.append(
            item["value"]
            if item["value"] is not None
            else made.normal_()
            if made.dtype.is_floating_point and made.element_size() > 1
            else made.zero_()
        )
    run(*values)
    torch.cuda.synchronize()


if __name__ == "__main__":
    run_once(Path(sys.argv[1]))

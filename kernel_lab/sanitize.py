"""Sanitizer: one call of a candidate under each of compute-sanitizer's tools, in processes of their own. Needs a GPU."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kernel_lab.contract import Contract
from kernel_lab.dataset import Workload
from kernel_lab.files import canonical
from kernel_lab.solution import Solution

WORKER = Path(__file__).with_name("sanitize_worker.py")
TIMEOUT_S = 240
PADDING = 1 << 20  # bytes behind each allocation: without them a read beyond one tensor lands in the next, which memcheck takes for valid
# What an error of each tool means. racecheck may not know an exotic way to synchronise, so a person looks at what it finds.
# A tool that does not finish is a review as well: a candidate could end its process when it sees one.
TOOLS = {"memcheck": "fail", "synccheck": "fail", "racecheck": "review"}


def sanitize(contract: Contract, solution: Solution, library: bytes, tool: Path) -> tuple[str, str]:
    """(outcome of the gate, sentence) over every tool, each in a process of its own. The smallest workload only: the tools are slow."""
    workload = min(contract.workloads, key=lambda item: sum(item.axes.values()))
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
        folder = Path(name)
        (folder / "job.json").write_bytes(canonical(_job(contract, solution, library, workload)))
        (folder / "solution.so").write_bytes(library)
        with ThreadPoolExecutor(len(TOOLS)) as pool:
            found = list(pool.map(lambda name: _run(folder, tool, name), TOOLS))
    worst = min((outcome for outcome, _ in found), key=("fail", "review", "pass").index)
    return worst, f"workload {workload.uuid}: {'; '.join(words for _, words in found)}"


def _job(contract: Contract, solution: Solution, library: bytes, workload: Workload) -> dict[str, Any]:
    """What the worker reads: the sources, the entry and each argument's shape and type."""
    outputs = contract.definition.outputs if solution.passes_outputs else ()
    return {
        "id": solution.id,
        "sources": solution.document["sources"],
        "file": solution.entry[0],
        "symbol": solution.entry[1],
        "library": bool(library),
        "tensors": [
            {
                "shape": list(contract.definition.shape(item, workload.axes)),
                "dtype": item.dtype,
                "value": workload.inputs.get(item.name, {}).get("value"),
            }
            for item in (*contract.definition.inputs, *outputs)
        ],
    }


def _run(folder: Path, tool: Path, name: str) -> tuple[str, str]:
    """One tool over one call. Its words go to a file of their own: the candidate writes to the process's output, too."""
    area = folder / name
    area.mkdir()
    command = [str(tool), "--tool", name, "--error-exitcode", "77", "--target-processes", "all", "--print-limit", "5"]
    if name == "memcheck":
        command += ["--padding", str(PADDING)]
    command += ["--log-file", str(area / "log"), sys.executable, "-I", "-B", str(WORKER), str(folder), str(area)]
    variables = {
        "PATH": f"{tool.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(area),
        "TMPDIR": str(area),
        "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
        "LANG": "C.UTF-8",
    }
    try:
        done = subprocess.run(command, cwd=area, env=variables, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "review", f"{name} took longer than {TIMEOUT_S} s"
    log = area / "log"
    words = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return read_log(name, words, done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))


def read_log(name: str, words: str, status: int, said: str) -> tuple[str, str]:
    """(outcome, sentence) of one tool's log, exit status and the process's own last words."""
    # memcheck and synccheck sum up errors; racecheck hazards, of which warnings are not errors.
    errors = sum(int(number) for number in re.findall(r"(\d+) errors?\b", "".join(re.findall(r"SUMMARY:.*", words))))
    if errors or status == 77:
        lines = [line.strip("= \t") for line in words.splitlines() if "SUMMARY" not in line]
        first = next((line for line in lines if re.search(r"Invalid|[Ee]rror|hazard|Barrier|Misaligned", line)), "")
        return TOOLS[name], f"{name} found {errors or 'some'} errors: {first[:200]}"
    if "SUMMARY" not in words or status:
        return "review", f"{name} did not finish: {(words + said).strip()[-200:]}"
    return "pass", f"{name} found nothing"

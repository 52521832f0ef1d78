"""Local backend: judges on this machine, on the CPU or on GPU 0, with the reference in this process and the candidate in a confined child."""  # noqa: E501

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kernel_lab import environment, fib, toolchain
from kernel_lab.backends import Keep, Progress, Ran, rules_for
from kernel_lab.contract import Contract
from kernel_lab.errors import MissingBackend
from kernel_lab.files import canonical, read_json
from kernel_lab.gates import Gate, judged_gates
from kernel_lab.solution import Solution

ARCH_LIST = {"sm_90a": "9.0a", "sm_100a": "10.0a", "sm_103a": "10.3a", "sm_120a": "12.0a", "cpu": ""}
# Shares that the events of a call must explain. Honest candidates on an H200: 0.53 to 2.2 of the wall time of calls without a pause, and
# at least 1.0 of the sum of their kernels on one stream. Joined streams overlap: too little of the kernels alone is a doubt.
WALL_FLOOR, WALL_DOUBT = 0.33, 0.85
KERNEL_FLOOR, KERNEL_DOUBT = 0.5, 0.85


class Local:
    """The cpu and cuda backends."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.on_gpu = contract.backend == "cuda"

    def require(self) -> None:
        fib.require()
        _require_isolated("torch")
        if not self.on_gpu:
            return
        import torch

        if not torch.cuda.is_available():
            raise MissingBackend(
                "the contract's backend is cuda and no CUDA device is here: run on a GPU machine, or let a person set [backend] kind to http or command"  # noqa: E501
            )
        found = "sm_{}{}".format(*torch.cuda.get_device_capability(0))
        if found != self.contract.arch.rstrip("a"):
            raise MissingBackend(f"the contract is for {self.contract.arch}; the device here is {found} ({torch.cuda.get_device_name(0)})")

    def judge(self, candidate: Solution, incumbent: Solution | None, progress: Progress) -> Ran:
        libraries, failed = self._libraries(candidate, incumbent)
        if failed:
            return Ran([Gate("run", "fail", failed)])
        traces = self._benchmark(candidate) if self.on_gpu else {}
        judge = self._judge(candidate, incumbent, progress, libraries)
        if not self.on_gpu:
            judge.official = self._official(candidate)
        evidence = judge.run()
        for row in evidence.workloads if self.on_gpu else []:
            row["official"] = _status(traces, row["uuid"])
            row["reference_ms"] = _reference_ms(traces, row["uuid"])
            row["vs_reference"] = round(row["reference_ms"] / row["latency_ms"], 4) if row["reference_ms"] and row["latency_ms"] else None
        gates = [*judged_gates(evidence, self.contract, candidate), self._sanitizer(candidate, libraries)]
        extra: dict[str, Any] = {
            "kernels": evidence.kernels,
            "seed": evidence.seed,
            "sandbox": evidence.sandbox,
            "hidden": evidence.hidden,
            "traces": traces.get("traces", []),
        }
        self._timer(evidence.kernels, traces, extra)
        return Ran(gates, evidence.workloads, extra)

    def score(self, candidate: Solution, incumbent: Solution | None, progress: Progress, only: list[str], keep: Keep) -> Ran:
        libraries, failed = self._libraries(candidate, incumbent)
        if failed:
            return Ran([Gate("run", "fail", failed)])
        judge = self._judge(candidate, incumbent, progress, libraries)
        judge.on_row = keep
        evidence = judge.run(only=only, timing_only=True)
        extra: dict[str, Any] = {"kernels": evidence.kernels}
        self._timer(evidence.kernels, {}, extra)
        return Ran(list(judged_gates(evidence, self.contract, candidate)), evidence.workloads, extra)

    def _judge(self, candidate: Solution, incumbent: Solution | None, progress: Progress, libraries: dict[str, bytes]) -> Any:
        from kernel_lab.judge import Judge

        return Judge(self.contract, candidate, rules_for(self.contract), libraries, incumbent, progress)

    def _libraries(self, candidate: Solution, incumbent: Solution | None) -> tuple[dict[str, bytes], str]:
        """Built libraries of the C++ and CUDA solutions, each built in a process of its own; and why the candidate's could not be."""
        found: dict[str, bytes] = {}
        for solution in (candidate, self.contract.baseline, incumbent):
            if solution is None or solution.language not in ("cpp", "cuda") or solution.id in found:
                continue
            _require_isolated("tvm_ffi")
            library, words = self._build(solution)
            if not library:
                whose = "candidate" if solution is candidate else "baseline or incumbent"
                return {}, f"the {whose} does not build: {words[-600:]}"
            found[solution.id] = library
        return found, ""

    def _build(self, solution: Solution) -> tuple[bytes, str]:
        with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
            folder = Path(name)
            job = {
                "definition": read_json(self.contract.folder / "definition.json"),
                "solution": solution.document,
                "arch_list": ARCH_LIST[self.contract.arch],
            }
            (folder / "job.json").write_bytes(canonical(job))
            done = self._python("build_worker", [str(folder / "job.json"), str(folder / "out.so")], folder)
            out = folder / "out.so"
            return (out.read_bytes() if out.is_file() else b""), done.text

    def _python(self, module: str, arguments: list[str], folder: Path) -> toolchain.Done:
        """A module of ours in a process with a scrubbed environment and private caches."""
        fixed = {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "FIB_CACHE_PATH": str(folder / "fib"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
            "LANG": "C.UTF-8",
        }
        keep = {
            name: os.environ[name]
            for name in ("PATH", "CUDA_HOME", "LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES")
            if name in os.environ
        }
        nvcc = toolchain.find("nvcc")
        if nvcc is not None:
            keep["PATH"] = f"{nvcc.parent}:{Path(sys.executable).parent}:{keep.get('PATH', '')}"
        environ = {**keep, **fixed}
        if ARCH_LIST[self.contract.arch]:
            environ["TVM_FFI_CUDA_ARCH_LIST"] = ARCH_LIST[self.contract.arch]
        command = [sys.executable, "-m", f"kernel_lab.{module}", *arguments]
        timeout = int(self.contract.evaluation["timeout_s"]) * max(1, len(self.contract.workloads))
        try:
            done = subprocess.run(
                command, env=environ, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            return toolchain.Done(124, f"took longer than {timeout} s")
        return toolchain.Done(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))

    def _official(self, candidate: Solution) -> Any:
        definition = read_json(self.contract.folder / "definition.json")

        def official(workload: Any, outputs_of: Any) -> str:
            raw = workload.raw.get("workload", workload.raw)
            return fib.official_on_cpu(
                definition, raw, self.contract.dataset, self.contract.evaluation, outputs_of, candidate.passes_outputs
            )

        return official

    def _benchmark(self, candidate: Solution) -> dict[str, Any]:
        """The scorer's isolated runner on a private copy of the contract."""
        contract = self.contract
        with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
            folder, data = Path(name), Path(name) / "data"
            for place in ("definitions/op", "workloads/op", "solutions/op"):
                (data / place).mkdir(parents=True)
            shutil.copy(contract.folder / "definition.json", data / "definitions/op/definition.json")
            rows = [
                canonical({"definition": contract.definition.name, "workload": item.raw.get("workload", item.raw)})
                for item in contract.workloads
            ]
            (data / "workloads/op/workloads.jsonl").write_bytes(b"\n".join(rows) + b"\n")
            (data / "solutions/op/candidate.json").write_bytes(canonical(candidate.document))
            for blob in contract.lock["blobs"]:
                (data / blob).parent.mkdir(parents=True, exist_ok=True)
                (data / blob).symlink_to(contract.dataset / blob)
            job = {"dataset": str(data), "definition": contract.definition.name, "evaluation": contract.evaluation}
            (folder / "job.json").write_bytes(canonical(job))
            done = self._python("fib", [str(folder / "job.json"), str(folder / "result.json")], folder)
            if not (folder / "result.json").is_file():
                return {"traces": [], "problem": done.text[-1500:]}
            found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            return found

    def _timer(self, kernels: list[dict[str, Any]], traces: dict[str, Any], extra: dict[str, Any]) -> None:
        """Event, wall and kernel time of the same work must tell one story."""
        if not self.on_gpu:
            return
        extra["timer"] = f"CUDA events in the child, bounded by the parent's wall clock; scorer: {traces.get('timer', 'not run')}"
        extra["clocks"] = environment.gpu()
        problem, doubt = clocks_of(kernels)
        extra |= {"timer_problem": problem, "timer_doubt": doubt}

    def _sanitizer(self, candidate: Solution, libraries: dict[str, bytes]) -> Gate:
        """compute-sanitizer over one call of the smallest workload, on a GPU."""
        if not self.on_gpu:
            return Gate("sanitizer", "skip", "no GPU code ran")
        tool = toolchain.find("compute-sanitizer")
        if tool is None:
            return Gate("sanitizer", "skip", "compute-sanitizer is not here")
        from kernel_lab.sanitize import sanitize

        status, words = sanitize(self.contract, candidate, libraries.get(candidate.id, b""), tool)
        return Gate("sanitizer", status, words)


def clocks_of(kernels: list[dict[str, Any]]) -> tuple[str, str]:
    """(problem, doubt) where events, the parent's clock and the profiler's kernel times of a workload tell different stories.

    A row holds, for one call: `event_ms`; within calls without a pause `batch_event_ms` and `batch_wall_ms`; `kernel_us`, the sum of its
    kernels.
    """
    problem = doubt = ""
    for row in kernels:
        event_us, wall_us = 1e3 * min(row["event_ms"], row["batch_event_ms"]), 1e3 * row["batch_wall_ms"]
        of_wall = row["batch_event_ms"] * 1e3 / wall_us if wall_us else 1.0
        of_kernels = event_us / row["kernel_us"] if row["kernels"] and row["kernel_us"] else 1.0
        said = f"workload {row['workload']}: a call takes {event_us:.1f} us by events, {wall_us:.1f} by the parent's clock"
        said += f", {row['kernel_us']:.1f} by its kernels"
        if of_wall < WALL_FLOOR or (of_kernels < KERNEL_FLOOR and of_wall < WALL_DOUBT):
            problem = f"{said}: work runs where the events do not look (another stream, another thread), or the timer was changed"
        elif of_kernels < KERNEL_DOUBT:
            doubt = f"{said}: kernels overlap, or some run where the events do not look"
    return problem, doubt


def _require_isolated(module: str) -> None:
    if environment.isolated_lacks((module,)):
        raise MissingBackend(
            f"{sys.executable} does not find {module} when started with -I, as a candidate's process is (PYTHONPATH and the user's site "
            f"do not count): install it into this environment, pip install {module.replace('tvm_ffi', 'apache-tvm-ffi')}"
        )


def _status(traces: dict[str, Any], uuid: str) -> str:
    for trace in traces.get("traces", []):
        if trace["workload"]["uuid"] == uuid:
            return str(trace["evaluation"]["status"])
    return "no trace: " + str(traces.get("problem", ""))[-300:] if traces.get("problem") else "no trace"


def _reference_ms(traces: dict[str, Any], uuid: str) -> float | None:
    """The scorer's own time of the reference on the device."""
    for trace in traces.get("traces", []):
        if trace["workload"]["uuid"] == uuid and trace["evaluation"].get("performance"):
            return float(trace["evaluation"]["performance"]["reference_latency_ms"])
    return None

"""flashinfer-bench: the one file that imports the scorer. It hides what differs between release 0.1.2 and main.

On a CPU the scorer's own evaluator runs in the judge's process over a stand-in that fetches outputs from the candidate's child.
On a GPU its isolated runner does the whole run, in a process of its own (`python -m kernel_lab.fib JOB RESULT`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kernel_lab.environment import scorer
from kernel_lab.errors import MissingBackend

_SMALLEST = 1e-30
INSTALL = "pip install 'kernel-skills[lab]' (flashinfer-bench needs torch; see docs/lab.md)"


def require() -> None:
    """Raise MissingBackend where torch or flashinfer-bench is not installed, or main's flashinfer-python is not."""
    missing = [name for name in ("torch", "flashinfer_bench") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingBackend(f"{' and '.join(missing)} not installed; judging needs both: {INSTALL}")
    if importlib.util.find_spec("flashinfer") is None and "from flashinfer.testing" in _timing_source():
        raise MissingBackend(
            "this flashinfer-bench imports flashinfer, which is not installed: "
            "pip install --no-deps flashinfer-python; pip install einops tqdm requests packaging click"
        )


def _timing_source() -> str:
    """Text of the installed scorer's timing module: main's imports flashinfer, 0.1.2's does not. Read, not imported."""
    spec = importlib.util.find_spec("flashinfer_bench")
    root = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else Path()
    path = root / "bench" / "timing.py"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@contextlib.contextmanager
def _on_cpu(cache: Path) -> Iterator[None]:
    """The evaluator synchronises with CUDA and builds below FIB_CACHE_PATH: give it nothing to wait for and a folder of its own."""
    import torch

    real, before = torch.cuda.synchronize, os.environ.get("FIB_CACHE_PATH")
    torch.cuda.synchronize = lambda *_, **__: None
    os.environ["FIB_CACHE_PATH"] = str(cache)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        torch.cuda.synchronize = real
        os.environ.pop("FIB_CACHE_PATH")
        if before is not None:
            os.environ["FIB_CACHE_PATH"] = before


def _config(evaluation: dict[str, Any], trials: int) -> Any:
    """The evaluator's configuration: BenchmarkConfig in 0.1.2, ResolvedEvalConfig in main."""
    from flashinfer_bench import bench

    kind = getattr(bench, "ResolvedEvalConfig", None) or bench.BenchmarkConfig
    ratio = float(evaluation["matched_ratio"])
    return kind(
        warmup_runs=int(evaluation["official_warmup"]), iterations=int(evaluation["official_iterations"]), num_trials=trials,
        rtol=float(evaluation["rtol"]), atol=float(evaluation["atol"]), profile_baseline=False,
        required_matched_ratio=ratio if ratio < 1 else None,
    )  # fmt: skip


class _StandIn:
    """Looks like the scorer's Runnable; fetches outputs from the child."""

    def __init__(self, outputs_of: Callable[[list[Any]], list[Any]], inputs: int, passes_outputs: bool, definition: Any) -> None:
        self._outputs_of, self._inputs, self._passes = outputs_of, inputs, passes_outputs
        self.metadata = type("Metadata", (), {"destination_passing_style": passes_outputs, "definition": definition})

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        values = list(arguments) + list(named.values())
        outputs = self._outputs_of(values[: self._inputs])
        if self._passes:
            for place, value in zip(values[self._inputs :], outputs, strict=True):
                place.copy_(value)
            return None
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def official_on_cpu(  # noqa: PLR0917
    definition: dict[str, Any], workload: dict[str, Any], dataset: Path, evaluation: dict[str, Any],
    outputs_of: Callable[[list[Any]], list[Any]], passes_outputs: bool,
) -> str:  # fmt: skip
    """The scorer's own verdict on correctness (PASSED, INCORRECT_NUMERICAL …): its reference, inputs, tolerances and code."""
    from flashinfer_bench.bench.evaluators import resolve_evaluator
    from flashinfer_bench.data import Definition, Workload

    made, case = Definition.model_validate(definition), Workload.model_validate(workload)
    trials = int(evaluation["official_trials"])
    config = _config(evaluation, trials)
    evaluator = resolve_evaluator(made)
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as folder, _on_cpu(Path(folder)):
        base = evaluator.build_baseline(made, case, config, "cpu", dataset)
        stand_in = _StandIn(outputs_of, len(made.inputs), passes_outputs, made)
        _, failed = evaluator.check_correctness(
            definition=made, sol_runnable=stand_in, inputs=base.inputs, ref_outputs=base.outputs, cfg=config, log_path="", device="cpu"
        )
    return "PASSED" if failed is None else str(getattr(failed.status, "value", failed.status))


def evaluator_verdict_in_process(definition: dict[str, Any], workload: dict[str, Any], dataset: Path, solution: dict[str, Any]) -> str:
    """What the scorer alone says of a candidate, with the candidate in its own process, as its runners do it. For the gate table only."""
    import time

    from flashinfer_bench.bench import timing
    from flashinfer_bench.bench.evaluators import default, resolve_evaluator
    from flashinfer_bench.compile import BuilderRegistry
    from flashinfer_bench.data import Definition, Solution, Workload

    def wall(fn: Any, arguments: list[Any], warmup: int, iterations: int, device: str) -> float:
        for _ in range(warmup):
            fn(*arguments)
        begin = time.perf_counter()
        for _ in range(iterations):
            fn(*arguments)
        return (time.perf_counter() - begin) / iterations * 1e3

    made, case, packed = Definition.model_validate(definition), Workload.model_validate(workload), Solution.model_validate(solution)
    config = _config({"matched_ratio": 1.0, "official_warmup": 3, "official_iterations": 10, "rtol": 1e-2, "atol": 1e-2}, 3)
    real, default.time_runnable, timing.time_runnable = default.time_runnable, wall, wall
    try:
        with tempfile.TemporaryDirectory(prefix="kernel-lab-") as folder, _on_cpu(Path(folder)):
            evaluator = resolve_evaluator(made)
            base = evaluator.build_baseline(made, case, config, "cpu", dataset)
            runnable = BuilderRegistry.get_instance().build(made, packed)
            found = evaluator.evaluate(made, runnable, base.inputs, base.outputs, 1.0, config, "", "cpu")
    finally:
        default.time_runnable = real
    return str(getattr(found.status, "value", found.status))


def build_library(definition: dict[str, Any], solution: dict[str, Any], arch_list: str) -> bytes:
    """Build a C++ or CUDA solution with the scorer's builder in a private cache and return the shared library's bytes."""
    from flashinfer_bench.compile import BuilderRegistry
    from flashinfer_bench.data import Definition, Solution

    names = {"FIB_CACHE_PATH": "", "TVM_FFI_CUDA_ARCH_LIST": arch_list}
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as folder:
        names["FIB_CACHE_PATH"] = folder
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: value for name, value in names.items() if value})
        try:
            runnable = BuilderRegistry.get_instance().build(Definition.model_validate(definition), Solution.model_validate(solution))
            return Path(runnable.metadata.misc["binary"]).read_bytes()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def benchmark_config(job: dict[str, Any]) -> Any:
    """The runner's configuration from a job, with the fields that the installed version knows."""
    from flashinfer_bench import BenchmarkConfig

    evaluation = job["evaluation"]
    ratio = float(evaluation["matched_ratio"])
    wanted = {
        "warmup_runs": int(evaluation["official_warmup"]), "iterations": int(evaluation["official_iterations"]),
        "num_trials": int(evaluation["official_trials"]), "use_isolated_runner": True, "timeout_seconds": int(evaluation["timeout_s"]),
        # main refuses a tolerance of 0; the smallest number says the same.
        "rtol": float(evaluation["rtol"]) or _SMALLEST, "atol": float(evaluation["atol"]) or _SMALLEST,
        "required_matched_ratio": ratio if ratio < 1 else None, "definitions": [job["definition"]],
    }  # fmt: skip
    known = inspect.signature(BenchmarkConfig).parameters
    make = getattr(BenchmarkConfig, "default", BenchmarkConfig)
    return make(**{key: value for key, value in wanted.items() if key in known})


def run_benchmark(job: dict[str, Any]) -> dict[str, Any]:
    """The scorer's isolated runner over a folder in its layout. Needs a CUDA device; called in a process of its own."""
    from flashinfer_bench import Benchmark, TraceSet

    benchmark = Benchmark(TraceSet.from_path(job["dataset"]), benchmark_config(job))
    try:
        found = benchmark.run_all(dump_traces=False)
        traces = [trace.model_dump(mode="json") for trace in found.traces.get(job["definition"], [])]
    finally:
        benchmark.close()
    timer = "cupti" if _uses_cupti() else "cuda events"
    return {"schema_version": 1, "traces": traces, "timer": timer, "scorer": scorer()}


def _uses_cupti() -> bool:
    """main times through flashinfer's CUPTI helper, which falls back to events without cupti-python and does not say so."""
    return "cupti" in _timing_source() and importlib.util.find_spec("cupti") is not None


def validate(solution: dict[str, Any]) -> str:
    """The scorer's own complaint about a packed solution, empty when it takes it."""
    from flashinfer_bench.data import Solution
    from pydantic import ValidationError

    try:
        Solution.model_validate(solution)
    except ValidationError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(run_benchmark(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))), encoding="utf-8")

"""Environment: what of this machine can bend a result (variables, versions, clocks), and what the frozen contract recorded of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel_lab.files import sha256, source_digest

# Variables that reach the judge's own process; the candidate's process gets none of them.
SENSITIVE = re.compile(
    r"^(FIB_|FLASHINFER_|TVM_FFI_|TVM_|TRITON_|TORCH_|PYTORCH_|CUDA_|CUBLAS_|CUDNN_|NVIDIA_TF32|NCCL_|LD_PRELOAD|LD_AUDIT|LD_LIBRARY_PATH|"
    r"PYTHON(?!UNBUFFERED|DONTWRITEBYTECODE|HASHSEED|IOENCODING|UTF8|WARNINGS|PYCACHEPREFIX|FAULTHANDLER|_VERSION|NODEBUGRANGES)|"
    r"FAKETIME|ATEN_|DNNL_|ONEDNN_|KERNEL_LAB_)"
)
PACKAGE = "flashinfer-bench"


def sensitive_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """{name: hash of its value} of the variables set here that can change a build, a result or a time."""
    return {name: sha256(value.encode())[:16] for name, value in sorted(environ.items()) if SENSITIVE.match(name)}


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def isolated_lacks(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `modules` that a candidate's process would not find: it starts with -I, so PYTHONPATH and the user's site are not seen."""
    code = "import importlib.util, sys; print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))"
    command = [sys.executable, "-I", "-c", code, *modules]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
    return tuple(done.stdout.split()) if done.returncode == 0 else modules


def scorer() -> dict[str, str]:
    """The installed flashinfer-bench: version and one hash over its files; empty strings where it is not installed."""
    spec = importlib.util.find_spec("flashinfer_bench")
    if spec is None or not spec.submodule_search_locations:
        return {"version": "", "digest": ""}
    return {"version": version(PACKAGE), "digest": source_digest(Path(next(iter(spec.submodule_search_locations))))}


def judge_digest() -> str:
    """One hash over the judge's own sources."""
    return source_digest(Path(__file__).parent)


def versions() -> dict[str, str]:
    names = ("kernel-skills", "torch", "triton", "apache-tvm-ffi", "numpy", "cupti-python")
    found = {name: version(name) for name in names}
    return {"python": platform.python_version(), **{name: value for name, value in found.items() if value}}


def gpu() -> dict[str, Any] | None:
    """Name, driver and clocks of GPU 0 as nvidia-smi tells them, None without a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    keys = ["name", "driver_version", "compute_cap", "clocks.sm", "clocks.mem", "clocks.max.sm", "temperature.gpu", "persistence_mode"]
    command = [tool, f"--query-gpu={','.join(keys)}", "--format=csv,noheader,nounits", "-i", "0"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
    values = [item.strip() for item in done.stdout.strip().split(",")]
    return dict(zip(keys, values, strict=False)) if done.returncode == 0 and len(values) == len(keys) else None


@dataclass(frozen=True)
class Clocks:
    """Readings of four clocks at one moment, seconds. Two readings show whether one of them was bent."""

    perf: float
    raw: float
    wall: float
    uptime: float

    @classmethod
    def now(cls) -> Clocks:
        raw = time.clock_gettime(time.CLOCK_MONOTONIC_RAW) if hasattr(time, "CLOCK_MONOTONIC_RAW") else time.monotonic()
        return cls(time.perf_counter(), raw, time.time(), _uptime())

    def drift(self, later: Clocks) -> dict[str, float]:
        """Elapsed seconds by each clock, where there is one."""
        found = {"perf_s": later.perf - self.perf, "raw_s": later.raw - self.raw, "wall_s": later.wall - self.wall}
        if self.uptime and later.uptime:
            found["uptime_s"] = later.uptime - self.uptime
        return {name: round(value, 4) for name, value in found.items()}


def _uptime() -> float:
    """Seconds since boot as the kernel writes them: not a call that a preloaded library bends."""
    try:
        return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0


def clocks_disagree(drift: dict[str, float]) -> str:
    """Why the clocks cannot all be right, empty when they agree within 2 % and 0.25 s."""
    longest, shortest = max(drift.values()), min(drift.values())
    if longest - shortest <= 0.25 + 0.02 * abs(longest):
        return ""
    return "the clocks disagree about how long the run took: " + ", ".join(f"{name[:-2]} {value:.2f} s" for name, value in drift.items())

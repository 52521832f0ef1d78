"""Collect: the ncu command for a case, and what to do when it fails."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ncu_skill.errors import BadArgument

PROBLEMS = {
    "ERR_NVGPUCTRPERM": "counters are restricted: run as root, give the container --cap-add=SYS_ADMIN, "
    "or set NVreg_RestrictProfilingToAdminUsers=0 on the host",
    "LibraryNotLoaded": "the sandbox (gVisor, some clouds) hides the counters: use another runtime; "
    "without counters use nsys, torch.profiler or the compiler's report",
    "no kernels were profiled": "the -k filter is matched against the function name: use regex:, --kernel-name-base demangled, "
    "and check --launch-skip",
    "DCGM": "another profiler holds the counters: dcgmi profile --pause (then --resume)",
    "no source lines": "compile with -lineinfo (nvcc, nvrtc) or TRITON_DISABLE_LINE_INFO=0 (Triton, the default)",
    "no PM samples": "kernels under about 20 us and MIG or vGPU instances give none: profile a larger problem",
}
KINDS = ("cuda", "triton", "torch")


def command(
    application: Sequence[str],
    *,
    kernel: str | None = None,
    kind: str = "cuda",
    skip: int = 0,
    count: int = 3,
    output: str = "profile",
    clock_control: str = "none",
) -> list[str]:
    """The ncu command line for one application."""
    if not application:
        raise BadArgument("name the application behind the options, for example: ncu-skill collect -k my_kernel -- python app.py")
    if kind not in KINDS:
        raise BadArgument(f"{kind!r} is not a kind of application; kinds: {', '.join(KINDS)}")
    words = ["ncu", "--set", "full", "--section", "PmSampling_WarpStates", "--import-source", "yes", "--clock-control", clock_control]
    if kernel:
        words += ["--kernel-name-base", "function", "-k", f"regex:{kernel}"]
    if kind != "cuda":
        words += ["--target-processes", "all"]
    return [*words, "-s", str(skip), "-c", str(count), "-f", "-o", output, *application]


def notes(kind: str, kernel: str | None) -> list[str]:
    """What to know before running the command."""
    found = []
    if not kernel:
        found.append("without -k the first launches are profiled: in PyTorch these are often the kernels that fill the inputs")
    if kind == "triton":
        found.append("warm up first (autotuning and compilation launch other kernels) and skip those launches with --skip")
    if kind == "cuda":
        found.append("build with -lineinfo, otherwise findings carry no source lines")
    found.append("--clock-control none keeps boost clocks: compare times of reports with the same setting only")
    return found


def joined(words: Sequence[str]) -> str:
    return shlex.join(words)

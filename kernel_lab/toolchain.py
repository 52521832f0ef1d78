"""Toolchain: finds nvcc, the host compiler and the disassemblers (PATH, CUDA_HOME, an installed package), and runs them bounded."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kernel_lab.errors import MissingBackend

NVCC_FIX = "install CUDA 13 (nvcc on PATH or CUDA_HOME set) or: pip install 'kernel-skills[compile]'"
TIMEOUT_S = 120


@dataclass(frozen=True)
class Done:
    """A finished tool: exit status and both streams."""

    status: int
    text: str


def _package_folders() -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(item) for item in (spec.submodule_search_locations or [])] if spec else []
    return [folder for root in roots for folder in sorted(root.glob("*/bin"))]


def find(tool: str) -> Path | None:
    """Where a CUDA tool lies: PATH, CUDA_HOME or CUDA_PATH, beside the interpreter, an nvidia-… package."""
    on_path = shutil.which(tool)
    if on_path:
        return Path(on_path)
    homes = [Path(os.environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    for folder in [*homes, Path(sys.prefix) / "bin", *_package_folders(), Path("/usr/local/cuda/bin")]:
        if (folder / tool).is_file() and os.access(folder / tool, os.X_OK):
            return folder / tool
    return None


def require(tool: str) -> Path:
    found = find(tool)
    if found is None:
        raise MissingBackend(f"{tool} is not here: {NVCC_FIX}")
    return found


def include_folders() -> list[Path]:
    """Headers that a solution may name: TVM-FFI's and DLPack's, where that package is installed."""
    spec = importlib.util.find_spec("tvm_ffi")
    if spec is None or not spec.origin:
        return []
    root = Path(spec.origin).parent
    return [folder for folder in (root / "include", root / "3rdparty" / "dlpack" / "include") if folder.is_dir()]


def run(command: list[str], folder: Path, timeout_s: float = TIMEOUT_S) -> Done:
    """Run a compiler in `folder` with a scrubbed environment. A timeout is an answer, not an error."""
    keep = {name: os.environ[name] for name in ("PATH", "CUDA_HOME", "CUDA_PATH") if name in os.environ}
    environment = {**keep, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Done(124, f"{Path(command[0]).name} took longer than {timeout_s:.0f} s")
    return Done(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))

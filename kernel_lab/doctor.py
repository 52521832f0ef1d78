"""Doctor: what of the machine the lab needs, whether it is there, and what to install."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

from kernel_lab import environment, toolchain
from kernel_lab.workspace import state_home


def check() -> dict[str, Any]:
    """All checks; `ok` is False when one fails that judging on a CPU needs."""
    checks = [
        _package("torch", "judging", True),
        _package("flashinfer_bench", "judging", True, "pip install 'kernel-skills[lab]'"),
        _package("safetensors", "recorded inputs", False),
        _package("tvm_ffi", "C++ and CUDA candidates", False, "pip install apache-tvm-ffi"),
        _package("triton", "compiling Triton candidates", False),
        _tool("nvcc", "compiling CUDA candidates"), _tool("nvdisasm", "naming the hardware paths of a cubin"),
        _tool("compute-sanitizer", "the sanitizer gate, on a GPU"),
        _sandbox(), _gpu(), _state(),
    ]  # fmt: skip
    return {"ok": all(item["ok"] for item in checks if item["required"]), "checks": checks}


def _package(module: str, use: str, required: bool, fix: str = "") -> dict[str, Any]:
    here = importlib.util.find_spec(module) is not None
    known = environment.version(module.replace("_", "-").replace("tvm-ffi", "apache-tvm-ffi"))
    return {
        "name": module,
        "ok": here,
        "required": required,
        "detail": (known or "here") if here else f"missing; {use}: {fix or 'pip install ' + module}",
    }


def _tool(name: str, use: str) -> dict[str, Any]:
    path = toolchain.find(name)
    return {
        "name": name,
        "ok": path is not None,
        "required": False,
        "detail": str(path) if path else f"missing; {use}: {toolchain.NVCC_FIX}",
    }


def _sandbox() -> dict[str, Any]:
    """Tries the real thing in a process of its own."""
    code = "import sys, runpy; m = runpy.run_path(sys.argv[1]); print(m['enter_namespaces']([], [], 16, False), m['filter_calls']())"
    path = str(importlib.util.find_spec("kernel_lab.confine").origin)  # type: ignore[union-attr]
    done = subprocess.run([sys.executable, "-I", "-c", code, path], capture_output=True, encoding="utf-8", check=False, timeout=60)
    words = done.stdout.split()
    level = " ".join(words[:-1]) if words else "none"
    good = level == "namespaces"
    detail = f"{level}, system-call filter {words[-1] if words else 'False'}"
    return {
        "name": "sandbox",
        "ok": good,
        "required": False,
        "detail": detail if good else f"{detail}; allow user namespaces, or run as root: verdicts stay at review without either",
    }


def _gpu() -> dict[str, Any]:
    found = environment.gpu()
    return {
        "name": "gpu",
        "ok": found is not None,
        "required": False,
        "detail": f"{found['name']}, driver {found['driver_version']}"
        if found
        else "none; CUDA contracts need one, or backend http or command",
    }


def _state() -> dict[str, Any]:
    home = state_home()
    parent = next(folder for folder in (home, *home.parents) if folder.exists())
    good = os.access(parent, os.W_OK)
    return {
        "name": "state",
        "ok": good,
        "required": True,
        "detail": str(home) if good else f"{home} cannot be written: set KERNEL_LAB_HOME",
    }

"""Triton worker: imports a Triton solution without a GPU and lets each launch compile for a named architecture instead of running."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def main(result: int) -> None:
    job = json.loads(sys.stdin.buffer.read())
    found: list[dict[str, Any]] = []
    _confine(job)
    shapes = _load_by_path("torch_shapes")
    torch = shapes.module() if job["shapes"] else None
    if torch is not None:
        sys.modules["torch"] = torch
    said: dict[str, Any] = {"kernels": found, "done": False}
    try:
        _compile(job, found)
        said["done"] = True
    except shapes.NeedsTorch as lacks:
        said["needs_torch"] = str(lacks)
    finally:
        with os.fdopen(result, "w", encoding="utf-8") as stream:
            json.dump(said, stream)


def _compile(job: dict[str, Any], found: list[dict[str, Any]]) -> None:
    import torch
    import triton  # type: ignore[import-not-found, unused-ignore]

    _compile_only(triton, job["arch"], found)
    module = _package(job, Path("/tmp"))
    arguments = [_argument(torch, item) for item in job["tensors"]]
    getattr(importlib.import_module(module), job["symbol"])(*arguments)


def _load_by_path(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"_triton_worker_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _confine(job: dict[str, Any]) -> None:
    """The candidate's Python runs here: no network, nothing writable but the scratch folder, the user's files hidden."""
    confine = _load_by_path("confine")
    confine.enter_namespaces(job["hide"], job["keep"], 1024, False)
    os.chdir("/tmp")


def _package(job: dict[str, Any], folder: Path) -> str:
    name = f"candidate_{job['id'][:12]}"
    root = folder / name
    for item in job["sources"]:
        path = root / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item["content"], encoding="utf-8")
    package = types.ModuleType(name)
    package.__path__ = [str(root)]
    sys.modules[name] = package
    return f"{name}.{job['file'].removesuffix('.py').replace('/', '.')}"


def _argument(torch: Any, item: dict[str, Any]) -> Any:
    if item["scalar"]:
        return item["value"] if item["value"] is not None else 1
    return torch.empty(item["shape"], dtype=getattr(torch, item["dtype"]))


def _compile_only(triton: Any, arch: str, found: list[dict[str, Any]]) -> None:
    """Stand a driver in that has a target and no device, and turn launches into compilations."""
    from triton.backends.compiler import GPUTarget  # type: ignore[import-not-found, unused-ignore]
    from triton.runtime import driver  # type: ignore[import-not-found, unused-ignore]
    from triton.runtime.autotuner import Autotuner  # type: ignore[import-not-found, unused-ignore]
    from triton.runtime.jit import JITFunction  # type: ignore[import-not-found, unused-ignore]

    target = GPUTarget("cuda", int("".join(filter(str.isdigit, arch))), 32)

    class Driver:
        """The part of a Triton driver that compiling asks for."""

        def get_current_target(self) -> Any:
            return target

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int = 0) -> int:
            return 0

        def get_device_capability(self, device: int = 0) -> tuple[int, int]:
            return int(target.arch) // 10, int(target.arch) % 10

    driver.set_active(Driver())
    launch = JITFunction.run

    def compile_launch(self: Any, *arguments: Any, grid: Any = None, warmup: bool = True, **options: Any) -> Any:
        kernel = launch(self, *arguments, grid=grid if grid is not None else (1,), warmup=True, **options)
        found.append({
            "name": kernel.metadata.name, "registers": 0, "spill_bytes": 0, "stack_bytes": 0,
            "shared_bytes": int(kernel.metadata.shared), "warps": int(kernel.metadata.num_warps), "ptx": kernel.asm["ptx"],
            "cubin": base64.b64encode(kernel.asm["cubin"]).decode(),
        })  # fmt: skip
        return kernel

    JITFunction.run = compile_launch

    def first_config(self: Any, *arguments: Any, **options: Any) -> Any:
        return self.fn.run(*arguments, **{**self.configs[0].all_kwargs(), **options})

    Autotuner.run = first_config


if __name__ == "__main__":
    main(int(sys.argv[1]))

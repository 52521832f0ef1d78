"""The process under the sanitizer: one call of a candidate on random inputs. Run as `sanitize_worker.py JOB_FOLDER SCRATCH`, alone."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(folder: Path, scratch: Path) -> None:
    import torch

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    run = _library(folder, job["symbol"]) if job["library"] else _sources(job, scratch)
    run(*(item["value"] if item["value"] is not None else _tensor(item) for item in job["tensors"]))
    torch.cuda.synchronize()


def _library(folder: Path, symbol: str) -> Callable[..., Any]:
    import tvm_ffi

    return getattr(tvm_ffi.load_module(str(folder / "solution.so")), symbol)  # type: ignore[no-any-return]


def _sources(job: dict[str, Any], scratch: Path) -> Callable[..., Any]:
    package = f"candidate_{job['id'][:12]}"
    for item in job["sources"]:
        path = scratch / package / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item["content"], encoding="utf-8")
    module = types.ModuleType(package)
    module.__path__ = [str(scratch / package)]
    sys.modules[package] = module
    name = job["file"].removesuffix(".py").replace("/", ".")
    return getattr(importlib.import_module(f"{package}.{name}"), job["symbol"])  # type: ignore[no-any-return]


def _tensor(item: dict[str, Any]) -> Any:
    import torch

    made = torch.empty(item["shape"], dtype=getattr(torch, item["dtype"]), device="cuda")
    return made.normal_() if made.dtype.is_floating_point and made.element_size() > 1 else made.zero_()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

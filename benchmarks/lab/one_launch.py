"""Three launches of one RMSNorm candidate on the GPU, for Nsight Compute: `python benchmarks/lab/one_launch.py NAME`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from kernel_lab import fib
from kernel_lab.solution import pack, read_solution

EXAMPLES = Path(__file__).parents[2] / "examples" / "lab"


def runner(name: str, folder: Path) -> Any:
    if name == "rmsnorm_baseline":
        solution = read_solution(next((EXAMPLES / "rmsnorm").rglob("rmsnorm_h4096_bf16_baseline.json")))
    else:
        solution = pack(EXAMPLES / "candidates" / name)
    if solution.language == "cuda":
        import tvm_ffi

        definition = json.loads(next((EXAMPLES / "rmsnorm").rglob("definitions/**/rmsnorm_h4096_bf16.json")).read_text(encoding="utf-8"))
        library = folder / "solution.so"
        library.write_bytes(fib.build_library(definition, solution.document, "9.0a"))
        return tvm_ffi.load_module(str(library)).run
    import importlib.util

    source = folder / "candidate_main.py"
    source.write_text(solution.sources["main.py"], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("candidate_main", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = runner(name, Path(folder))
        hidden, weight = torch.randn(4096, 4096, device="cuda").bfloat16(), torch.randn(4096, device="cuda").bfloat16()
        out = torch.empty_like(hidden)
        for _ in range(3):
            run(hidden, weight, out)
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(sys.argv[1])

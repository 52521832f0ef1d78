"""Python snippets on a Hopper GPU: runs the pages' Triton, CuTe DSL and TileLang fences for sm_90a against torch and records the result.

`build FOLDER --python PATH ...` compiles them here: Triton fences travel as text and compile again on the GPU's machine, CuTe DSL and
TileLang fences travel as machine code, so that neither package is needed there. `run FOLDER` needs the GPU, torch and triton, nothing
of ours; with TRITON_INTERPRET=1, `one FOLDER --case KEY` runs a Triton case on the CPU. `record FOLDER` writes the part `python` of
h200.yaml here, and `snippets: ran` into the pages whose text is the one that ran.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 120  # for one case: a hang ends here
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
GUARD = 4096  # elements behind every result, which must stay as they were


@dataclass(frozen=True)
class Case:
    """One fence: its page, language and function of `call=`, how it is run (largest error of all sizes), and the limit of the error."""

    page: str
    dialect: str
    name: str
    run: Callable[[Path], float]
    limit: float

    @property
    def key(self) -> str:
        return f"{self.page}:{self.dialect}:{self.name}"

    def folder(self, root: Path) -> Path:
        return root / self.key.replace("/", "_").replace(":", "_")


# --- data, references, comparison: torch on the GPU


def random(*shape: int, dtype: str) -> Any:
    import torch

    return (torch.rand(shape, device=DEVICE) * 2 - 1).to(getattr(torch, dtype))


class Result:
    """A tensor of NaN with a guard behind it."""

    def __init__(self, *shape: int, dtype: str) -> None:
        import torch

        count = torch.Size(shape).numel()
        self.flat = torch.full((count + GUARD,), float("nan"), device=DEVICE, dtype=getattr(torch, dtype))
        self.tensor = self.flat[:count].view(shape)

    def error(self, reference: Any, floor: float) -> float:
        """The largest |got - want| / (|want| + floor); infinite where an element was not written or one behind the end was."""
        import torch

        if DEVICE == "cuda":
            torch.cuda.synchronize()
        if not bool(self.flat[self.tensor.numel() :].isnan().all()) or bool(self.tensor.isnan().any()):
            return float("inf")
        return float(((self.tensor.double() - reference).abs() / (reference.abs() + floor)).max())


def rms_norm(folder: Path) -> float:
    function, worst = fence_of(folder).rms_norm, 0.0
    for rows, columns in ((37, 1003), (300, 4100), (5, 4096), (3, 1)):
        x, weight, y = random(rows, columns, dtype="bfloat16"), random(columns, dtype="bfloat16"), Result(rows, columns, dtype="bfloat16")
        function(x, weight, y.tensor)
        wide = x.double()
        want = wide / (wide.square().mean(1, keepdim=True) + 1e-6).sqrt() * weight.double()
        worst = max(worst, y.error(want, 0.01))
    return worst


def gemm(folder: Path) -> float:
    function, worst = fence_of(folder).gemm, 0.0
    for m, n, k, sms in ((300, 200, 136, 4), (520, 264, 328, 132), (128, 128, 64, 1)):
        a, b, c = random(m, k, dtype="float16"), random(n, k, dtype="float16"), Result(m, n, dtype="float16")
        function(a, b, c.tensor, sms, False)
        worst = max(worst, c.error(a.double() @ b.double().T, 1.0))
    return worst


def swiglu(folder: Path) -> float:
    function, worst = fence_of(folder).swiglu, 0.0
    for count in (100003, 100008, 1, 65536):
        worst = max(worst, swiglu_error(count, function))
    return worst


def swiglu_error(count: int, function: Callable[[Any, Any, Any], object]) -> float:
    gate, up, out = random(count, dtype="bfloat16") * 8, random(count, dtype="bfloat16"), Result(count, dtype="bfloat16")
    function(gate, up, out.tensor)
    wide = gate.double()
    return out.error(wide * wide.sigmoid() * up.double(), 0.01)


def swiglu_cute(folder: Path) -> float:
    """Static shapes: the ones of `call=`."""
    (count,) = set(shapes(folder))
    return swiglu_error(*count, lambda *tensors: launch(folder, (-(-count[0] // 8 // 256),), 256, 0, *tensors))


def scale_rows(folder: Path) -> float:
    (rows, columns), *_ = shapes(folder)
    x, s, y = random(rows, columns, dtype="float32"), random(rows, dtype="float32"), Result(rows, columns, dtype="float32")
    launch(folder, (rows,), 128, 0, x, s, y.tensor)
    return y.error((x.double() * s.double()[:, None]).square(), 1e-3)


def tilelang_gemm(folder: Path) -> float:
    """Launched as TileLang's host code launches it: TMA descriptors of A and B, a grid of tiles, 3 stages of 32 KiB."""
    m, n, k = json.loads(f"[{re.findall(r'[(](.*)[)]', call_of(folder))[0]}]")
    a, b, c = random(m, k, dtype="bfloat16"), random(k, n, dtype="bfloat16"), Result(m, n, dtype="bfloat16")
    launch(folder, (-(-n // 128), -(-m // 128)), 256, 98304, descriptor(a, 128, 64), descriptor(b, 64, 64), c.tensor)
    return c.error(a.double() @ b.double(), 1.0)


CASES = (
    Case("language/triton-on-blackwell", "triton", "gemm", gemm, 2e-3),
    Case("language/triton-on-blackwell", "triton", "rms_norm", rms_norm, 5e-3),
    Case("language/cute-dsl", "cutedsl", "scale_rows", scale_rows, 1e-6),
    Case("language/tilelang", "tilelang", "matmul", tilelang_gemm, 5e-3),
    Case("migration/cuda-to-cute-dsl-triton", "triton", "swiglu", swiglu, 5e-3),
    Case("migration/cuda-to-cute-dsl-triton", "cutedsl", "swiglu", swiglu_cute, 5e-3),
)


# --- launching machine code: the driver's own functions


def driver(name: str, *arguments: Any) -> None:
    code = getattr(ctypes.CDLL("libcuda.so.1"), name)(*arguments)
    if code:
        raise RuntimeError(f"{name} gave CUDA error {code}")


def launch(folder: Path, grid: tuple[int, ...], threads: int, shared: int, *arguments: Any) -> None:
    """The kernel of the case's machine code; arguments are tensors (their addresses) and descriptors."""
    import torch

    name = json.loads((folder / "case.json").read_text(encoding="utf-8"))["kernel"]
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        driver("cuModuleLoadData", ctypes.byref(module), (folder / "0.cubin").read_bytes())
    except RuntimeError:  # machine code of a newer compiler than the driver knows
        driver("cuModuleLoadData", ctypes.byref(module), (folder / "0.ptx").read_bytes() + b"\0")
    driver("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
    driver("cuFuncSetAttribute", function, 8, shared)  # 8: the largest dynamic shared memory
    values = [item if isinstance(item, ctypes.Array) else ctypes.c_void_p(item.data_ptr()) for item in arguments]
    pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    driver("cuLaunchKernel", function, *(*grid, 1, 1)[:3], threads, 1, 1, shared, stream, pointers, None)
    torch.cuda.synchronize()


def descriptor(tensor: Any, box_rows: int, box_columns: int) -> ctypes.Array[ctypes.c_char]:
    """A CUtensorMap of a row-major bf16 matrix: 128-byte swizzle, 128-byte promotion to L2, zeros outside."""
    room = (ctypes.c_char * 192)()
    map_ = (ctypes.c_char * 128).from_buffer(room, -ctypes.addressof(room) % 64)
    rows, columns = tensor.shape
    driver(
        "cuTensorMapEncodeTiled", map_, 9, 2, ctypes.c_void_p(tensor.data_ptr()), (ctypes.c_uint64 * 2)(columns, rows),
        (ctypes.c_uint64 * 1)(columns * 2), (ctypes.c_uint32 * 2)(box_columns, box_rows), (ctypes.c_uint32 * 2)(1, 1), 0, 3, 2, 0,
    )  # fmt: skip
    return map_


# --- the case's files


def fence_of(folder: Path) -> Any:
    """The fence as a module."""
    spec = importlib.util.spec_from_file_location("fence", folder / "fence.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_of(folder: Path) -> str:
    return str(json.loads((folder / "case.json").read_text(encoding="utf-8"))["call"])


def shapes(folder: Path) -> list[tuple[int, ...]]:
    """The shapes of the tensors in `call=`."""
    return [tuple(int(size) for size in found.split(",")) for found in re.findall(r"\w\[([\d,]+)\]", call_of(folder))]


# --- build, run, record


def build(root: Path, pythons: list[str]) -> None:
    """Write each case's fence, and the machine code of those whose package is not on the GPU's machine. `record` reads the fences again."""
    from kernelwiki.grounding import python_snippets
    from kernelwiki.grounding.snippets import snippets_of
    from kernelwiki.reading.pages import read_pages

    known = [python_snippets.probe(path) for path in (sys.executable, *pythons)]
    units = [unit for page in read_pages(HERE.parents[1] / "corpus" / "pages") for unit in snippets_of(page) if unit.runs_on_hopper]
    found = {f"{unit.page}:{unit.dialect}:{unit.settings['call'].split('(')[0]}": unit for unit in units}
    if set(found) != {case.key for case in CASES}:
        wrong = sorted(set(found) ^ {case.key for case in CASES})
        raise SystemExit(f"Python fences for sm_90a and CASES differ: {', '.join(wrong)}. Add a case, or take one out.")
    for case in CASES:
        unit, folder = found[case.key], case.folder(root)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told = {"call": unit.settings["call"], "compiler": "", "kernel": ""}
        if unit.dialect != "triton":
            python = python_snippets.choose(unit, known)
            if python is None:
                raise SystemExit(f"{case.key}: no --python has {' and '.join(python_snippets.DIALECTS[unit.dialect])}")
            with tempfile.TemporaryDirectory() as scratch:
                code = python_snippets.build_code(unit, "sm_90a", python, Path(scratch))
                if code.error or code.note:
                    raise SystemExit(f"{case.key}: {code.error or code.note}")
                shutil.copyfile(code.cubins[0], folder / "0.cubin")
                (folder / "0.ptx").write_text(code.ptx, encoding="utf-8")
            package = python_snippets.DIALECTS[unit.dialect][0]
            told |= {"compiler": f"{package} {python.versions[package]}", "kernel": re.findall(r"\.entry (\w+)", code.ptx)[0]}
        (folder / "fence.py").write_text(unit.code, encoding="utf-8")
        (folder / "case.json").write_text(json.dumps(told), encoding="utf-8")
    print(f"{len(CASES)} cases in {root}")


def run(root: Path) -> int:
    """Run every case in a process of its own; print what failed and write `python.json`. The number of failures."""
    import torch
    import triton

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda case: one(root, case), CASES))
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", "0"]
    gpu, version = subprocess.run(query, capture_output=True, encoding="utf-8", check=True).stdout.strip().split(", ")
    head = {"gpu": gpu, "driver": version, "date": datetime.now(timezone.utc).date().isoformat()}
    said = {**head, "torch": torch.__version__, "triton": triton.__version__, "results": results}
    (root / "python.json").write_text(json.dumps(said), encoding="utf-8")
    for row in results:
        print(json.dumps(row))
    failed = sum(not row["ok"] for row in results)
    print(f"{gpu}, driver {version}, triton {triton.__version__}: {len(results) - failed} of {len(results)} Python cases right")
    return failed


def one(root: Path, case: Case) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "one", str(root), "--case", case.key]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=SECONDS)
        worst = float(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"case": case.key, "ok": False, "said": f"no end after {SECONDS} s"}
    except (ValueError, IndexError):
        return {"case": case.key, "ok": False, "said": f"exit {done.returncode}: {done.stderr[-600:]}"}
    return {"case": case.key, "ok": worst <= case.limit, "worst": worst, "limit": case.limit}


def run_one(root: Path, key: str) -> None:
    """The largest error of one case, on stdout."""
    import torch

    torch.manual_seed(7)
    case = next(case for case in CASES if case.key == key)
    print(case.run(case.folder(root)))


def record(root: Path) -> None:
    """The part `python` of h200.yaml: for each fence that ran and was right its sha256, largest error, limit and compiler."""
    from run import mark, write

    from kernelwiki.grounding.snippets import Snippet

    seen = json.loads((root / "python.json").read_text(encoding="utf-8"))
    lines = ["python:", *(f'  {name}: "{seen[name]}"' for name in ("gpu", "driver", "date", "torch")), "  runs:"]
    right = [(case, row) for case, row in zip(CASES, seen["results"], strict=True) if row["ok"] and row["case"] == case.key]
    for case, row in right:
        folder = case.folder(root)
        digest = Snippet(case.page, 0, "python", "", (folder / "fence.py").read_text(encoding="utf-8")).digest
        compiler = json.loads((folder / "case.json").read_text(encoding="utf-8"))["compiler"] or f"triton {seen['triton']}"
        numbers = f'worst: {row["worst"]:.3g}, limit: {case.limit:g}, compiler: "{compiler}"'
        lines.append(f'    - {{page: {case.page}, fence: {case.dialect} {case.name}, sha256: "{digest}", {numbers}}}')
    write(python="\n".join(lines) + "\n")
    print(f"{len(right)} of {len(CASES)} Python fences recorded; {mark()} pages say that theirs ran")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("build", "run", "record", "one"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", action="append", default=[], help="for build: a Python that has nvidia-cutlass-dsl or tilelang")
    parser.add_argument("--case", help="for one")
    chosen = parser.parse_args()
    if chosen.step == "build":
        return build(chosen.folder, chosen.python) or 0
    if chosen.step == "one":
        return run_one(chosen.folder, chosen.case) or 0
    return {"run": run, "record": record}[chosen.step](chosen.folder) or 0


if __name__ == "__main__":
    sys.exit(main())

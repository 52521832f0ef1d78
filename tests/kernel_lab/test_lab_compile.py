"""Compiling without a GPU: stage, resources, hardware paths and source lines, from nvcc, the disassembler and Triton."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from lab_parts import EXAMPLES, document

from kernel_lab import build_triton, code_paths, toolchain
from kernel_lab.build import build
from kernel_lab.code_paths import ptx_paths, sass_paths
from kernel_lab.dataset import Definition, Tensor, Workload
from kernel_lab.errors import MissingBackend
from kernel_lab.solution import Solution, pack, solution_of

needs_nvcc = pytest.mark.skipif(toolchain.find("nvcc") is None, reason="nvcc is not here")
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or importlib.util.find_spec("torch") is None,
    reason="triton and torch are not here: ./run lab runs these",
)
DEFINITION = Definition(
    "d", "op", {"n": 64}, (), (Tensor("x", ("n",), "float32"),), (Tensor("out", ("n",), "float32"),), "def run(x):\n    return x\n"
)
WORKLOAD = Workload("w", {}, {"x": {"type": "random"}})
EXPORT = 'extern "C" void __tvm_ffi_run() {}\n'


def cuda(source: str, **spec: Any) -> Solution:
    return solution_of(document("k", "d", source, language="cuda", entry="main.cu", **spec), "test")


def compiled(solution: Solution, arch: str = "sm_90a", cache: Path | None = None) -> dict[str, Any]:
    return build(solution, DEFINITION, arch, cache, WORKLOAD)


PLAIN = (
    "__global__ void twice(const float* x, float* out) {\n  __shared__ float s[64];\n  s[threadIdx.x] = x[threadIdx.x];\n  __syncthreads();\n"  # noqa: E501
    "  out[threadIdx.x] = 2 * s[63 - threadIdx.x];\n}\n" + EXPORT
)
CP_ASYNC = (
    'asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.wait_all;" ::"r"((unsigned)__cvta_generic_to_shared(s)), "l"(x));'
)
TCGEN05 = (
    "__global__ void mma(unsigned* out) {\n  __shared__ unsigned at;\n  unsigned place = __cvta_generic_to_shared(&at);\n"
    '  asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], 64;" ::"r"(place));\n  __syncthreads();\n'
    '  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, 64;" ::"r"(at));\n  out[0] = at;\n}\n' + EXPORT
)


@needs_nvcc
@pytest.mark.parametrize("arch", ["sm_90a", "sm_100a", "sm_103a", "sm_120a"])
def test_a_cuda_source_compiles_for_every_architecture_with_its_resources(arch: str) -> None:
    found = compiled(cuda(PLAIN), arch)
    assert found["ok"] and found["stage"] == "ptxas" and found["arch"] == arch
    assert 0 < found["registers"] < 64 and found["shared_bytes"] >= 256 and found["spills"] == 0
    assert [kernel["name"] for kernel in found["kernels"]] == ["_Z5twicePKfPf"]


@needs_nvcc
def test_tensor_memory_is_seen_on_sm_100a_and_refused_on_sm_90a_at_the_source_line() -> None:
    found = compiled(cuda(TCGEN05), "sm_100a")
    assert found["ok"] and found["paths"]["tmem"]
    refused = compiled(cuda(TCGEN05), "sm_90a")
    assert not refused["ok"] and refused["stage"] == "ptxas"
    assert {(row["file"], row["line"]) for row in refused["log"] if row["severity"] == "error"} <= {("main.cu", 4), ("main.cu", 6)}
    assert any("tcgen05" in row["text"] for row in refused["log"])


@needs_nvcc
def test_a_syntax_error_names_file_and_line() -> None:
    found = compiled(cuda("__global__ void k() {\n  int x = ;\n}\n" + EXPORT))
    assert not found["ok"] and found["stage"] == "nvcc"
    assert ("main.cu", 2, "error") in {(row["file"], row["line"], row["severity"]) for row in found["log"]}


@needs_nvcc
def test_an_error_in_a_nested_header_names_that_header() -> None:
    found = compiled(cuda('#include "a/part.cuh"\n' + EXPORT, more={"a/part.cuh": "\n\nint f = ;\n"}))
    assert not found["ok"] and any(row["file"] == "a/part.cuh" and row["line"] == 3 for row in found["log"])


@needs_nvcc
def test_a_missing_export_is_a_link_error_before_any_gpu() -> None:
    found = compiled(cuda("__global__ void k() {}\n"))
    assert not found["ok"] and found["stage"] == "link" and "TVM_FFI_DLL_EXPORT_TYPED_FUNC" in found["log"][-1]["text"]


@needs_nvcc
def test_spills_and_stack_are_counted() -> None:
    body = "__global__ void __launch_bounds__(1024, 2) k(const float* x, float* o) {\n  float v[96];\n#pragma unroll\n  for (int i = 0; i < 96; ++i) v[i] = x[i * 1024 + threadIdx.x];\n"  # noqa: E501
    body += "#pragma unroll\n  for (int r = 0; r < 3; ++r)\n#pragma unroll\n    for (int i = 0; i < 96; ++i) v[i] = v[i] * v[(i * 7 + r) % 96] + v[(i + 31) % 96];\n"  # noqa: E501
    body += "#pragma unroll\n  for (int i = 0; i < 96; ++i) o[i * 1024 + threadIdx.x] = v[i];\n}\n" + EXPORT
    found = compiled(cuda(body))
    assert found["ok"] and found["spills"] > 0 and found["stack_bytes"] > 0


@needs_nvcc
def test_a_result_is_kept_by_content_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    first = compiled(cuda(PLAIN), cache=tmp_path)
    again = compiled(cuda(PLAIN), cache=tmp_path)
    assert not first["cached"] and again["cached"]
    assert {key: again[key] for key in ("registers", "paths", "code_sha256")} == {
        key: first[key] for key in ("registers", "paths", "code_sha256")
    }
    assert not compiled(cuda(PLAIN), "sm_100a", cache=tmp_path)["cached"]
    next(tmp_path.glob("*.json")).write_text("{", encoding="utf-8")
    kept = [compiled(cuda(PLAIN), arch, cache=tmp_path)["cached"] for arch in ("sm_90a", "sm_100a")]
    assert sorted(kept) == [False, True]


def test_without_nvcc_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find", lambda tool: None)
    with pytest.raises(MissingBackend, match=r"nvcc is not here: install CUDA 13 .*kernel-skills\[compile\]"):
        compiled(cuda(PLAIN))


def test_python_that_does_not_parse_fails_at_parse_with_the_line() -> None:
    found = compiled(solution_of(document("k", "d", "x = 1\ndef run(:\n"), "t"), "cpu")
    assert not found["ok"] and found["stage"] == "parse" and found["log"][0]["line"] == 2


@pytest.mark.parametrize(
    ("source", "ok"),
    [
        ("def run(x, out): pass\n", True),
        ("def run(*args): pass\n", True),
        ("def run(x): pass\n", False),
        ("def go(x, out): pass\n", False),
        ("run = print\n", True),
    ],
)
def test_the_entry_has_to_fit_the_definition(source: str, ok: bool) -> None:
    found = compiled(solution_of(document("k", "d", source), "t"), "cpu")
    assert found["ok"] is ok


def test_opcodes_and_instructions_name_the_hardware_paths() -> None:
    sass = "        /*0040*/                   UTCHMMA gdesc[UR4], gdesc[UR6], tmem[UR8] ;\n        /*0050*/              @P0  HGMMA.64x64x16.F32 R24 ;\n"  # noqa: E501
    assert {name for name, used in sass_paths(sass).items() if used} == {"tcgen05", "wgmma"}
    assert {name for name, used in ptx_paths("wgmma.mma_async.sync; cp.async.bulk.tensor.2d;").items() if used} == {"wgmma", "tma"}


@needs_triton
@pytest.mark.parametrize(("arch", "path"), [("sm_100a", "tcgen05"), ("sm_90a", "wgmma")])
def test_triton_compiles_for_a_gpu_that_is_not_here_and_shows_the_tensor_path(arch: str, path: str) -> None:
    solution = pack(EXAMPLES / "candidates" / "gemm_triton")
    tensors = {"a": ("M", "K"), "b": ("N", "K"), "out": ("M", "N")}
    made = {name: Tensor(name, axes, "bfloat16") for name, axes in tensors.items()}
    definition = Definition(
        solution.definition,
        "gemm",
        {"N": 4096, "K": 4096},
        ("M",),
        (made["a"], made["b"]),
        (made["out"],),
        "def run(a, b):\n    return a\n",
    )
    found = build(solution, definition, arch, None, Workload("w", {"M": 2048}, {}))
    assert found["ok"], found["note"]
    assert found["paths"][path] and not found["paths"]["legacy_mma"] and found["shared_bytes"] > 10_000


HOST_CODE = """import torch
import triton
import triton.language as tl


@triton.jit
def twice(x, out, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(out + at, 2 * tl.load(x + at, mask=at < n), mask=at < n)


def run(x, out):
    flat = x.contiguous().view(-1)
    scratch = torch.empty_like(flat, dtype=torch.float16)
    assert flat.stride(0) == 1 and flat.is_contiguous() and scratch.element_size() == 2 and x.device.type
    LINE
    twice[(triton.cdiv(flat.numel(), 64),)](flat, out, flat.numel(), B=64)
"""


@needs_triton
@pytest.mark.parametrize(("line", "runs"), [("pass", [True]), ("torch.relu(flat)", [True, False])], ids=["shapes alone", "arithmetic"])
def test_host_code_that_only_launches_compiles_without_torch_and_gives_the_same(
    line: str, runs: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing torch is most of a compile's time. Host code that does arithmetic is compiled beside the real one."""
    used, real = [], build_triton._run_triton

    def watched(job: dict[str, Any]) -> tuple[dict[str, Any], str]:
        used.append(job["shapes"])
        return real(job)

    solution = solution_of(document("k", "d", HOST_CODE.replace("LINE", line), language="triton"), "t")
    monkeypatch.setattr(build_triton, "_run_triton", watched)
    found = compiled(solution)
    assert found["ok"] and used == runs, found["note"]
    monkeypatch.setattr(build_triton, "_run_triton", lambda job: real({**job, "shapes": False}))
    beside = compiled(solution)
    assert {key: found[key] for key in ("registers", "shared_bytes", "paths", "kernels")} == {
        key: beside[key] for key in ("registers", "shared_bytes", "paths", "kernels")
    }


@needs_triton
def test_a_triton_error_names_the_source_line() -> None:
    source = "import triton\n\n\ndef run(x, out):\n    raise ValueError('no tile fits')\n"
    found = compiled(solution_of(document("k", "d", source, language="triton"), "t"), "sm_100a")
    assert not found["ok"] and found["stage"] == "import"
    assert (found["log"][0]["file"], found["log"][0]["line"]) == ("main.py", 5) and "no tile fits" in found["log"][0]["text"]


@needs_nvcc
@pytest.mark.parametrize(("source", "path"), [(PLAIN, ""), (TCGEN05, "tmem"), (PLAIN.replace("__syncthreads()", CP_ASYNC), "cp_async")])
def test_ptx_without_an_instruction_family_saves_the_disassembler_and_changes_nothing(
    source: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    run = toolchain.run
    monkeypatch.setattr(toolchain, "run", lambda command, *rest: asked.append(Path(command[0]).name) or run(command, *rest))
    found = compiled(cuda(source), "sm_100a")["paths"]
    assert ("nvdisasm" in asked) == bool(path)
    monkeypatch.setattr(code_paths, "_families", lambda: re.compile(""))  # every unit is disassembled
    assert compiled(cuda(source), "sm_100a")["paths"] == found and asked.count("nvdisasm") == 1 + bool(path)
    assert not path or found[path]

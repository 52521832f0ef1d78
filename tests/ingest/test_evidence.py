"""Names found in added lines: every kind at its path and line, within the limits, always the same, whatever the text."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from ingest_parts import PATCH

from ingest.evidence import Pattern, default_extractor, first_hunks, path_archs, title_archs

GEMM, TILES, CUTE, TRITON, SHELL = (
    "csrc/gemm_tma.cu",
    "include/tiles.hpp",
    "kernels/block_scaled.py",
    "kernels/triton_softmax.py",
    "docs/setup.sh",
)
EXPECTED = [
    ("instruction", "tcgen05.mma", GEMM, 4),
    ("instruction", "cta_group::2", GEMM, 4),
    ("instruction", "kind::mxf8f6f4", GEMM, 4),
    ("instruction", "cp.async.bulk.tensor.2d", GEMM, 5),
    ("instruction", "mbarrier.try_wait", GEMM, 6),
    ("instruction", "ld.global.nc.L1::no_allocate.v4.f32", GEMM, 7),
    ("instruction", "ex2.approx.ftz.f32", GEMM, 8),
    ("instruction", "setmaxnreg.inc", GEMM, 9),
    ("intrinsic", "__shfl_xor_sync", GEMM, 10),
    ("intrinsic", "cudaGridDependencySynchronize", GEMM, 11),
    ("intrinsic", "cuTensorMapEncodeTiled", GEMM, 15),
    ("intrinsic", "cublasLtMatmul", GEMM, 16),
    ("api", "SM100_MMA_MXF8F6F4_2x1SM_SS", TILES, 44),
    ("api", "tcgen05.MmaMXF4NVF4Op", CUTE, 12),
    ("api", "cute.nvgpu.cpasync.CopyBulkTensorTileG2SOp", CUTE, 13),
    ("api", "PipelineUmmaAsync", CUTE, 14),
    ("api", "tl.dot_scaled", TRITON, 4),
    ("template", "MainloopSm100TmaUmmaWarpSpecialized", TILES, 43),
    ("arch", "sm100", GEMM, 2),
    ("arch", "gfx942", GEMM, 21),
    ("arch", "sm90", SHELL, 3),
    ("dtype", "fp8-e4m3", GEMM, 3),
    ("dtype", "ue8m0", TILES, 44),
    ("dtype", "fp4-e2m1", CUTE, 12),
    ("tile", "_128,_256,Int<64>", TILES, 41),
    ("tile", "num_warps=8", TRITON, 2),
    ("function", "launch_scaled_gemm", GEMM, 14),
    ("function", "scaled_gemm_op", GEMM, 20),
    ("function", "TiledEpilogueStorage", TILES, 103),
    ("function", "BlockScaledGemm", CUTE, 10),
    ("function", "softmax_rows_kernel", TRITON, 3),
    ("setting", "VLLM_USE_FAST_SOFTMAX", TRITON, 5),
    ("setting", "--enable-fast-softmax", TRITON, 6),
    ("symbol", "compute_row_scales", GEMM, 17),
]


def diff(lines: list[str], path: str = "k.cu") -> str:
    """A new file of `lines` as a diff."""
    body = "".join(f"+{line}\n" for line in lines)
    return f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n{body}"


def names(patch: str, kind: str) -> list[str]:
    return [item.name for item in default_extractor().extract(patch) if item.kind == kind]


@pytest.mark.parametrize(("kind", "name", "path", "line"), EXPECTED, ids=[f"{row[0]}-{row[1]}" for row in EXPECTED])
def test_a_name_is_found_at_the_line_that_adds_it(kind: str, name: str, path: str, line: int) -> None:
    places = [(item.path, item.line) for item in default_extractor().extract(PATCH) if (item.kind, item.name) == (kind, name)]
    assert places == [(path, line)]


def test_every_kind_of_the_pattern_file_is_shown_by_the_fixture() -> None:
    extractor = default_extractor()
    assert {row[0] for row in EXPECTED} == set(extractor.limit_per_kind) == {pattern.kind for pattern in extractor.patterns} | {"symbol"}


def test_lines_that_are_removed_or_only_context_give_no_evidence() -> None:
    patch = "diff --git a/k.cu b/k.cu\n--- a/k.cu\n+++ b/k.cu\n@@ -1,3 +1,3 @@\n-wgmma.fence\n ldmatrix.sync\n+stmatrix.sync\n"
    assert [(item.name, item.line) for item in default_extractor().extract(patch)] == [("stmatrix.sync", 2)]


def test_a_kernel_with_launch_bounds_is_named_by_its_own_name() -> None:
    found = names(diff(["__global__ void __launch_bounds__(256, 1) scaled_gemm_kernel(float* out) {"]), "function")
    assert found == ["scaled_gemm_kernel"]


def test_a_kernel_without_attributes_is_a_function() -> None:
    assert names(diff(["__global__ void scaled_gemm_kernel(float* out) {"]), "function") == ["scaled_gemm_kernel"]


def test_a_name_counts_once_at_its_first_line() -> None:
    found = default_extractor().extract(diff(["wgmma.fence.sync", "wgmma.fence.sync", "wgmma.fence.sync"]))
    assert [(item.name, item.line) for item in found if item.kind == "instruction"] == [("wgmma.fence", 1)]


def test_symbols_are_ordered_by_use_and_leave_out_names_of_other_kinds() -> None:
    lines = ["rare_helper(x);", "common_helper(x); common_helper(y);", "VLLM_USE_TILES"]
    assert names(diff(lines), "symbol") == ["common_helper", "rare_helper"]


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("kBlockScale", ["kBlockScale"]),
        ("__do_thing", ["do_thing"]),
        ("ABCDEF", []),
        ("lowercase", []),
        ("loadTMA", []),
        ("fp8Gemm", ["fp8Gemm"]),
        ("9lives_x", []),
        ("nameÉnd_x", []),
    ],
)
def test_a_symbol_is_a_code_name_of_several_parts(text: str, symbols: list[str]) -> None:
    assert names(diff([f"  {text};"]), "symbol") == symbols


def test_a_full_record_keeps_to_the_limits_and_the_order_of_kinds() -> None:
    extractor = default_extractor()
    lines = [f"SM100_ATOM_{n} kHeadDim={n + 16} VLLM_SETTING_{n} void do_function_{n}( __nv_cvt_kind{n} my_symbol_{n};" for n in range(200)]
    lines += [f"class Structure{n}Long" for n in range(100)] + [f"red.global.add.u{n}" for n in range(100)]
    found = extractor.extract(diff(lines))
    counts = Counter(item.kind for item in found)
    assert len(found) == extractor.limit
    assert all(counts[kind] <= extractor.limit_per_kind[kind] for kind in counts)
    assert counts["instruction"] == extractor.limit_per_kind["instruction"]
    order = list(extractor.limit_per_kind)
    assert [item.kind for item in found] == sorted((item.kind for item in found), key=order.index)


def test_a_name_longer_than_the_limit_is_left_out() -> None:
    longest = default_extractor().longest_name
    fits, too_long = "a_" + "b" * (longest - 2), "a_" + "c" * (longest - 1)
    assert names(diff([f"{fits} {too_long}"]), "symbol") == [fits]


def test_the_same_patch_gives_the_same_evidence_twice() -> None:
    assert default_extractor().extract(PATCH) == default_extractor().extract(PATCH)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_finds_the_same(seed: str) -> None:
    code = (
        "import json, sys; from dataclasses import astuple; from ingest.evidence import default_extractor;"
        "print(json.dumps([astuple(item) for item in default_extractor().extract(sys.stdin.read())]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], input=PATCH.encode(), capture_output=True, check=True, env=environment)
    expected = [[item.kind, item.name, item.path, item.line] for item in default_extractor().extract(PATCH)]
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("title", "archs"),
    [
        ("Blackwell support for grouped GEMM", []),
        ("Fix ampere path", []),
        ("[SM100] Add FMHA", ["sm100"]),
        ("Enable sm_100a and SM103f", ["sm100", "sm103"]),
        ("Tune H100, h200 and Hopper", ["sm90"]),
        ("B200 and GB300 configs", ["sm100", "sm103"]),
        ("Fix RTX 5090 crash", ["sm120"]),
        ("DGX Spark works", ["sm121"]),
        ("MI300X: tune gfx942", ["gfx942"]),
        ("A100 numbers, not a100m", ["sm80"]),
        ("Issue 9100 of csm90x", []),
        ("", []),
    ],
)
def test_a_title_gives_only_architectures_that_it_names_outright(title: str, archs: list[str]) -> None:
    found = title_archs(title)
    assert sorted(item.name for item in found) == archs
    assert all(item.path is None and item.line is None for item in found)


@pytest.mark.parametrize(
    ("path", "archs"),
    [
        ("include/cutlass/arch/mma_sm100_umma.hpp", ["sm100"]),
        ("csrc/sm90/fmha.cu", ["sm90"]),
        ("csrc/fmha_SM120a.cu", ["sm120"]),
        ("hopper/kernel.h", []),
        ("csrc/prism90.cu", []),
        ("csrc/sm1000.cu", []),
    ],
)
def test_a_path_gives_the_architecture_in_its_name(path: str, archs: list[str]) -> None:
    assert [(item.name, item.path) for item in path_archs([path])] == [(arch, path) for arch in archs]


def test_two_paths_of_one_architecture_count_once_at_the_first() -> None:
    assert [item.path for item in path_archs(["a/sm90/x.cu", "b/sm90/y.cu"])] == ["a/sm90/x.cu"]


@pytest.mark.parametrize("line", ["// fast on Blackwell", "# Hopper and newer", "int sm = 90;", "float x = 100.f; // 90 %", "sm90ish_name"])
def test_a_line_that_names_no_architecture_outright_gives_none(line: str) -> None:
    assert names(diff([line]), "arch") == []


@pytest.mark.parametrize("line", ["// tuned on sm_90", "  # SM100 only", " * see arch::Sm80", "/// SM70 and newer"])
def test_an_architecture_in_a_code_comment_is_no_evidence(line: str) -> None:
    assert names(diff([line]), "arch") == []


@pytest.mark.parametrize("path", ["k.cu", "k.py"])
@pytest.mark.parametrize(
    "line",
    [
        "x" * 10_000_000,
        "aB" * 5_000_000 + "é",
        "Persistent" * 1_000_000,
        "__global__ " * 900_000,
        "template<" + "> inline " * 1_000_000,
        "Shape<_1," * 1_000_000,
    ],
    ids=["one word", "humps", "schedulers", "globals", "templates", "shapes"],
)
def test_a_ten_megabyte_line_is_passed_over_in_time(line: str, path: str) -> None:
    started = time.process_time()
    found = default_extractor().extract(diff([line, "wgmma.fence; after_the_monster"], path))
    assert time.process_time() - started < 40  # seconds of CPU: linear takes 1, quadratic hours
    assert [(item.name, item.line) for item in found if item.kind == "symbol"] == [("after_the_monster", 2)]


@pytest.mark.parametrize(
    "unit", ["aB", "Persistent", "__global__ ", "a_", "> inline ", "ld.global.", "template<", "Shape<_1,", "def ", "_"]
)
def test_the_longest_line_that_is_read_is_read_in_time(unit: str) -> None:
    longest = default_extractor().longest_line
    line = (unit * longest)[: longest - 1] + "é"
    started = time.process_time()
    default_extractor().extract(diff([line] * 20, "k.cu") + diff([line] * 20, "k.py"))
    assert time.process_time() - started < 20  # seconds of CPU: linear takes a tenth of one


def test_a_line_over_the_limit_is_passed_over_and_one_at_it_is_read() -> None:
    extractor = replace(default_extractor(), longest_line=20)
    assert [item.line for item in extractor.extract(diff(["wgmma.fence         ", "ldmatrix.sync        "]))] == [1]


def test_control_characters_and_lone_surrogates_never_reach_a_name() -> None:
    lines = ["ld.global.\x1b[31mred", "__nv_cvt\u202ename", "evil_\udcffname", "VLLM_\x00SETTING", 'm.def("bad\x07name', "ok_name\x1b[0m"]
    for item in default_extractor().extract(diff(lines)):
        assert item.name.isprintable()
        item.name.encode("utf-8")


def test_a_file_without_a_name_of_its_own_is_located_by_its_first_hunk_that_adds_a_line() -> None:
    removed = "diff --git a/a.cu b/a.cu\n--- a/a.cu\n+++ b/a.cu\n@@ -1,2 +1 @@\n x\n-y\n"
    patch = removed + diff(["x = 1;"], "b.cu") + diff(["y = 2;"], "c.cu")
    assert [(item.kind, item.name, item.path, item.line) for item in first_hunks(patch, 9)] == [
        ("hunk", "+1,1", "b.cu", 1),
        ("hunk", "+1,1", "c.cu", 1),
    ]
    assert len(first_hunks(patch, 1)) == 1


def _required(sequence: Any) -> set[str] | None:
    """Words of which any match of a parsed pattern contains one: the longest that can be told from its form."""
    found: list[set[str]] = []
    run = ""
    for code, value in [*sequence, (None, None)]:
        if str(code) == "LITERAL":
            run += chr(value)
            continue
        if run:
            found.append({run})
            run = ""
        if str(code) == "SUBPATTERN":
            found.append(_required(value[3]) or set())
        elif str(code) == "BRANCH":
            parts = [_required(branch) for branch in value[1]]
            found.append(set().union(*(part or set() for part in parts)) if all(parts) else set())
        elif str(code) in ("MAX_REPEAT", "MIN_REPEAT") and value[0]:
            found.append(_required(value[2]) or set())
    return max((words for words in found if words), key=lambda words: (min(map(len, words)), -len(words)), default=None)


@pytest.mark.parametrize("pattern", default_extractor().patterns, ids=lambda pattern: f"{pattern.kind} {pattern.regex.pattern[:30]}")
def test_the_hint_of_a_pattern_never_hides_a_match(pattern: Pattern) -> None:
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    words = _required(parser.parse(pattern.regex.pattern)) or set()
    assert set(pattern.hint) == {word for word in words if not any(other != word and other in word for other in words)}

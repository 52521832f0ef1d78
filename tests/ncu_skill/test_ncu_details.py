"""The tables behind the diagnosis: every SASS pattern on a kernel that has it, rooflines, occupancy curves, memory tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from ncu_skill import analyse, open_report
from ncu_skill.cli import cli
from ncu_skill.errors import BadArgument
from ncu_skill.report import Kernel, Report
from ncu_skill.roofs import TENSOR_CORES, Rate, rates, roofs

Tables = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def launches(first_set: Path, pair_set: Path) -> Callable[[str], tuple[Report, int]]:
    """{case: (report, launch)} of both sets, opened on demand."""
    index = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]
    homes: dict[str, tuple[Path, int]] = {}
    for at, name in enumerate((first_set / "cases.txt").read_text(encoding="utf-8").split()):
        homes[name] = (first_set / "cuda.ncu-rep", at)
    for report in ("first", "second", "python"):
        for at, name in enumerate(index[report]):
            homes.setdefault(name, (pair_set / f"{report}.ncu-rep", at))
    opened: dict[Path, Report] = {}

    def read(case: str) -> tuple[Report, int]:
        path, launch = homes[case]
        if path not in opened:
            opened[path] = open_report(path)
        return opened[path], launch

    return read


@pytest.fixture(scope="module")
def tables(launches: Callable[[str], tuple[Report, int]]) -> Tables:
    """{case: tables} of both sets, read on demand."""

    def read(case: str) -> dict[str, Any]:
        report, launch = launches(case)
        found: dict[str, Any] = analyse(report, launch=launch)["tables"]
        return found

    return read


@pytest.mark.parametrize(
    ("case", "pattern", "twin"),
    [
        ("embedding", "unvectorised-neighbours", "embedding_fixed"),
        ("threshold", "one-byte-access", "threshold_fixed"),
        ("swapped", "strided-lanes", "swapped_fixed"),
        ("piped", "one-stage-copy", "piped_fixed"),
        ("staged", "one-stage-copy", "staged_fixed"),
        ("ring", "run-time-division", "ring_fixed"),
        ("gammadouble", "double-literals", "gammadouble_fixed"),
        ("filterbank", "unrolled-spills", "filterbank_fixed"),
        ("indexed", "indexed-local-array", "columns"),
    ],
)
def test_a_pattern_is_found_where_it_is_and_not_in_its_twin(tables: Tables, case: str, pattern: str, twin: str) -> None:
    row = next(row for row in tables(case)["patterns"] if row["pattern"] == pattern)
    assert row["line"] > 0
    assert row["share_pct"] > 0
    assert pattern not in {row["pattern"] for row in tables(twin)["patterns"]}


def test_a_roofline_names_the_precision_that_ran_and_its_dense_peak(tables: Tables) -> None:
    rows = {(row["precision"], row["path"]): row for row in tables("onestage")["roofline"]}
    half = rows["FP16", "tensor cores"]
    assert half["state"] == "executed"
    assert 0 < half["peak_pct"] < 50
    assert 0.8e15 < half["peak_ops_per_second"] < 1.2e15
    assert {rows[precision, "tensor cores"]["state"] for precision in ("FP4", "INT4")} == {"not-on-this-chip"}
    assert rows["INT8", "tensor cores"]["state"] == "zero"
    assert rows["BF16", "tensor cores"]["state"] == "zero"
    assert {row["precision"] for row in tables("sgemm")["roofline"] if row["state"] == "executed"} == {"FP32"}
    assert {row["precision"] for row in tables("lennard")["roofline"] if row["state"] == "executed"} >= {"FP64"}
    assert {row["precision"] for row in tables("oldint8")["roofline"] if row["state"] == "executed"} >= {"INT8"}


@pytest.mark.parametrize("case", ["onestage", "wgmma", "oldint8", "sgemm", "lennard"])
def test_the_page_draws_the_roofs_that_analyse_prints(launches: Callable[[str], tuple[Report, int]], tables: Tables, case: str) -> None:
    report, launch = launches(case)
    drawn = roofs(report.kernel(launch))
    assert drawn is not None
    rows = {f"{'tensor ' * (row['path'] == TENSOR_CORES)}{row['precision']}": row for row in tables(case)["roofline"]}
    for point in drawn.points:
        row = rows[point.precision]
        assert (point.achieved, point.peak) == (row["ops_per_second"], row["peak_ops_per_second"])
        assert round(point.intensity, 3) == row["ops_per_byte"]


def test_tensor_roofs_are_dense_peaks_half_of_the_sparse_ones(launches: Callable[[str], tuple[Report, int]]) -> None:
    report, launch = launches("onestage")
    kernel = report.kernel(launch)
    peaks = {rate.precision: rate.peak for rate in rates(kernel) if rate.path == TENSOR_CORES and rate.peak}
    for precision, stem in (("BF16", "bf16_dst_fp32"), ("FP16", "fp16"), ("TF32", "tf32_dst_fp32"), ("INT8", "int8")):
        sparse = kernel.number(f"sm__ops_path_tensor_src_{stem}.sum.peak_sustained_elapsed.per_second")
        assert sparse is not None
        assert peaks[precision] == pytest.approx(sparse / 2, rel=0.02)
    point = roofs(kernel)
    assert point is not None
    assert {one.precision: one.peak for one in point.points}["tensor FP16"] == peaks["FP16"]


def test_a_launch_of_sparse_tensor_instructions_is_measured_against_the_sparse_peak() -> None:
    stem, sparse, dense = "sm__ops_path_tensor_src_fp16", 1.6e15, 0.8e15

    values = {
        f"{stem}.sum.per_second": 1e15,
        f"{stem}.sum.peak_sustained_elapsed.per_second": sparse,
        "sm__ops_path_tensor_op_hgmma_src_fp16_sparsity_off.sum.per_second": 0.0,
        "sm__ops_path_tensor_op_hgmma_src_fp16_sparsity_off.sum.peak_sustained_elapsed.per_second": dense,
        "sm__ops_path_tensor_op_hgmma_src_fp16_sparsity_on.sum.per_second": 1e15,
        "sm__ops_path_tensor_op_hgmma_src_fp16_sparsity_on.sum.peak_sustained_elapsed.per_second": sparse,
    }
    # No sparse kernel was profiled: a launch that holds the metrics of one, under the names of real reports.
    launch = SimpleNamespace(device=SimpleNamespace(chip="sm_90"), metric_names=tuple(values), number=values.get)
    found: list[Rate] = rates(cast("Kernel", launch))
    half = next(rate for rate in found if (rate.precision, rate.path) == ("FP16", TENSOR_CORES))
    assert (half.achieved, half.peak) == (1e15, sparse)


def test_occupancy_curves_give_the_launch_its_own_occupancy(tables: Tables) -> None:
    table = tables("sgemm")["occupancy"]
    curve = table["curves"]["registers_per_thread"]
    here = [step["warps"] for step in curve["steps"] if step["at"] <= curve["now"]][-1]
    assert here / 64 * 100 == pytest.approx(table["theoretical_pct"])
    assert "registers" in table["limiters"]
    assert tables("history")["occupancy"]["limiters"] == ["shared"]


def test_memory_tables_compare_sectors_with_the_access_width(tables: Tables) -> None:
    wide = next(row for row in tables("adam")["memory"]["accesses"] if row["access"] == "global load")
    assert wide["sectors_per_request"] == pytest.approx(wide["needed_per_request"], rel=0.01) == pytest.approx(16, rel=0.01)
    far = next(row for row in tables("swapped")["memory"]["accesses"] if row["access"] == "global load")
    assert far["sectors_per_request"] > 2 * far["needed_per_request"]
    conflicts = next(row for row in tables("bodies")["memory"]["shared"] if row["access"] == "shared ld")
    assert conflicts["conflicts"] > 0.5 * conflicts["wavefronts"]
    assert any(row["access"].startswith("async copy") for row in tables("piped")["memory"]["copies"])
    assert any(row["access"] == "TMA load" and row["bytes"] > 1e6 for row in tables("bulk")["memory"]["copies"])


def test_tensor_rows_tell_zero_from_not_on_this_chip(tables: Tables) -> None:
    rows = {row["what"]: row for row in tables("wgmma")["tensor"]["metrics"]}
    assert rows["wgmma instructions"]["value"] > 1
    assert rows["TMA loads"]["state"] == "zero"
    for what in ("tcgen05 pipe", "tensor memory loads", "cluster launch control requests"):
        assert rows[what]["state"] == "not-on-this-chip"


def test_balance_rows_hold_the_idle_sms_of_an_uneven_kernel(tables: Tables) -> None:
    spread = {row["unit"]: row["spread"] for row in tables("experts")["balance"]}
    assert spread["SM"] > 0.5
    assert {row["unit"]: row["spread"] for row in tables("experts_fixed")["balance"]}["SM"] < 0.2


def test_the_command_prints_every_table_and_refuses_an_unknown_one(pair_set: Path) -> None:
    path = pair_set / "python.ncu-rep"
    done = CliRunner().invoke(cli, ["analyse", str(path), "--kernel", "softmax"])
    assert done.exit_code == 0, done.output
    assert all(f"\n{name}\n" in done.output for name in ("roofline", "occupancy", "balance", "memory", "tensor", "patterns"))
    document = json.loads(CliRunner().invoke(cli, ["analyse", str(path), "--only", "memory", "--json"]).output)
    assert set(document["tables"]) == {"memory"}
    with pytest.raises(BadArgument, match="tables: roofline"):
        analyse(path, only="nothing")

"""The tables behind the diagnosis: every SASS pattern on a kernel that has it, rooflines, occupancy curves, memory tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ncu_skill import analyse, open_report
from ncu_skill.cli import cli
from ncu_skill.errors import BadArgument
from ncu_skill.report import Report

Tables = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def tables(first_set: Path, pair_set: Path) -> Tables:
    """{case: tables} of both sets, read on demand."""
    index = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]
    homes: dict[str, tuple[Path, int]] = {}
    for at, name in enumerate((first_set / "cases.txt").read_text(encoding="utf-8").split()):
        homes[name] = (first_set / "cuda.ncu-rep", at)
    for report in ("first", "second", "python"):
        for at, name in enumerate(index[report]):
            homes.setdefault(name, (pair_set / f"{report}.ncu-rep", at))
    opened: dict[Path, Report] = {}

    def read(case: str) -> dict[str, Any]:
        path, launch = homes[case]
        report = opened.setdefault(path, open_report(path))
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
    assert rows["FP4", "tensor cores"]["state"] == "not-on-this-chip"
    assert rows["BF16", "tensor cores"]["state"] == "zero"
    assert {row["precision"] for row in tables("sgemm")["roofline"] if row["state"] == "executed"} == {"FP32"}
    assert {row["precision"] for row in tables("lennard")["roofline"] if row["state"] == "executed"} >= {"FP64"}
    assert {row["precision"] for row in tables("oldint8")["roofline"] if row["state"] == "executed"} >= {"INT8"}


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

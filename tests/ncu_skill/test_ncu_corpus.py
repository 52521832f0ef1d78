"""The shipped report corpora: diagnosed right, on the planted line, twins free of the defect, gains as measured."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ncu_skill import diagnose, open_report

ROOT = Path(__file__).parents[2]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ncu_corpus_{name}", ROOT / "benchmarks" / "ncu" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def score() -> ModuleType:
    return module("score")


@pytest.fixture(scope="module")
def found(score: ModuleType, first_set: Path, pair_set: Path) -> list[Any]:
    """Every labelled case of both sets, diagnosed once."""
    cases: list[Any] = score.cases(first_set, pair_set)
    return cases


def right(cases: Sequence[Any]) -> float:
    labelled = [item for item in cases if item.right is not None]
    return sum(item.right for item in labelled) / len(labelled)


def test_at_least_95_percent_of_the_labelled_cases_are_right(found: list[Any]) -> None:
    labelled = [item for item in found if item.right is not None]
    assert len(labelled) >= 140
    assert right(found) >= 0.95, [item.name for item in labelled if not item.right]


def test_held_out_cases_are_no_worse_than_nine_in_ten(found: list[Any]) -> None:
    held_out = [item for item in found if item.held_out and item.right is not None]
    assert len(held_out) >= 15
    assert right(held_out) >= 0.9, [item.name for item in held_out if not item.right]


def test_no_twin_keeps_the_planted_finding(found: list[Any], score: ModuleType) -> None:
    assert [item.name for item in score.kept(found)] == []


def test_the_planted_line_is_among_the_first_two_locations(found: list[Any]) -> None:
    located = [item for item in found if item.located is not None]
    assert len(located) >= 80
    assert [item.name for item in located if not item.located] == []


def test_gains_lie_in_their_range_and_the_next_bound_halves_the_error(found: list[Any], score: ModuleType) -> None:
    pairs = score.gains(found)
    assert len(pairs) >= 40
    inside = sum(finding.speedup_low <= speedup <= finding.speedup_high for _, speedup, finding in pairs)
    assert inside >= 0.7 * len(pairs)
    capped = statistics.median(abs(1 / (1 - finding.gain) - speedup) / speedup for _, speedup, finding in pairs)
    uncapped = statistics.median(abs(finding.uncapped_speedup - speedup) / speedup for _, speedup, finding in pairs)
    assert capped <= 0.5 * uncapped


def test_the_published_table_is_what_the_reports_give(found: list[Any], score: ModuleType) -> None:
    published = (ROOT / "benchmarks" / "ncu" / "RESULTS.md").read_text(encoding="utf-8")
    assert score.report(found).strip() == published.strip(), "run: python benchmarks/ncu/score.py > benchmarks/ncu/RESULTS.md"


def test_every_launch_of_a_case_gets_the_same_diagnosis(pair_set: Path) -> None:
    names = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]["first"]
    firsts: dict[str, set[str]] = {}
    report = open_report(pair_set / "first.ncu-rep")
    for name, launch in zip(names[:24], range(24), strict=True):
        findings = diagnose(report, launch=launch)["kernels"][0]["findings"]
        firsts.setdefault(name, set()).add(findings[0]["id"])
    assert {name: ids for name, ids in firsts.items() if len(ids) > 1} == {}


def test_graph_and_range_results_are_read(first_set: Path) -> None:
    for name in ("graph", "range"):
        kernel = open_report(first_set / f"{name}.ncu-rep").kernel(0)
        assert kernel.workload == name
        assert kernel.duration_ns
        assert kernel.device.name == "NVIDIA H200"
        assert diagnose(first_set / f"{name}.ncu-rep")["kernels"][0]["not_collected"]


@pytest.mark.parametrize(("corpus", "name"), [("first_set", "cuda"), ("pair_set", "second"), ("pair_set", "python")])
def test_own_reports_equal_the_vendors_reader(request: pytest.FixtureRequest, corpus: str, name: str) -> None:
    """Values, units, instances, correlation ids, lines and SASS of every twelfth launch against NVIDIA's reader."""
    # NVIDIA's library loaded before onnxruntime's crashes the interpreter; in this order both live. The product loads it in a child only.
    pytest.importorskip("onnxruntime")
    ncu_report = pytest.importorskip("ncu_report")
    path = request.getfixturevalue(corpus) / f"{name}.ncu-rep"
    report, context = open_report(path), ncu_report.load_report(str(path))
    groups = [context.range_by_idx(index) for index in range(context.num_ranges())]
    actions = [group.action_by_idx(index) for group in groups for index in range(group.num_actions())]
    assert len(actions) == len(report)
    for launch in range(0, len(report), 12):
        kernel, action = report.kernel(launch), actions[launch]
        assert set(kernel.metric_names) == set(action.metric_names())
        # The library's unit() depends on what was asked before: ask in the order of its own names, as the product does.
        units = {name: action.metric_by_name(name).unit() for name in action.metric_names()}
        assert {name: unit for name, unit in kernel.units.items() if units[name] != unit and not name.startswith("derived__")} == {}
        assert differences(kernel, action) == []
        for pc in kernel.per_pc("inst_executed"):
            theirs, ours = action.source_info(pc), kernel.place(pc)
            assert (theirs and (theirs.file_name(), theirs.line())) == (ours and (ours.file, ours.line))


def differences(kernel: Any, action: Any) -> list[str]:
    found = []
    for name in kernel.metric_names:
        ours, theirs = kernel.metric(name), action.metric_by_name(name)
        ids = theirs.correlation_ids() if theirs.has_correlation_ids() else None
        pairs = [(ours.value, theirs.value()), (len(ours.instances), theirs.num_instances())]
        pairs += [(value, theirs.value(index)) for index, value in enumerate(ours.instances[:50])]
        pairs += [(value, ids.value(index)) for index, value in enumerate(ours.correlation_ids[:50])] if ids else []
        if not all(same(a, b) for a, b in pairs):
            found.append(name)
    return found


def same(a: object, b: object) -> bool:
    return a == b or (a != a and b != b)  # noqa: PLR0124

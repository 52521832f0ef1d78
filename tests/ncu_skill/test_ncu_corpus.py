"""The shipped report corpus: every labelled launch is diagnosed right, on the planted line, and no twin keeps the defect."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from ncu_skill import diagnose, open_report

ROOT = Path(__file__).parents[2]
PACKED = Path(__file__).parent / "reports" / "corpus.tar.xz"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    with tarfile.open(PACKED) as tar:
        for member in tar.getmembers():  # our own archive; `filter` of extractall is not in every Python 3.10 and 3.11
            assert member.isfile() and "/" not in member.name.removeprefix("./")
            tar.extract(member, folder)
    return folder


@pytest.fixture(scope="module")
def score() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ncu_corpus_score", ROOT / "benchmarks" / "ncu" / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_at_least_95_percent_are_right_and_no_twin_keeps_the_planted_finding(corpus: Path, score: ModuleType) -> None:
    found = score.cases(corpus)
    labelled = [item for item in found if item.right is not None]
    by_name = {item.name: item for item in found}
    twins = [item for item in found if item.label.get("fixes") in by_name]
    assert len(labelled) >= 60
    assert sum(item.right for item in labelled) >= 0.95 * len(labelled), [item.name for item in labelled if not item.right]
    assert [item.name for item in twins if item.first in by_name[item.label["fixes"]].label["finding"]] == []


def test_the_planted_line_is_among_the_first_two_locations(corpus: Path, score: ModuleType) -> None:
    located = [item for item in score.cases(corpus) if item.located is not None]
    assert len(located) >= 30
    assert [item.name for item in located if not item.located] == []


def test_graph_and_range_results_are_read(corpus: Path) -> None:
    for name in ("graph", "range"):
        kernel = open_report(corpus / f"{name}.ncu-rep").kernel(0)
        assert kernel.workload == name
        assert kernel.duration_ns
        assert kernel.device.name == "NVIDIA H200"
        assert diagnose(corpus / f"{name}.ncu-rep")["kernels"][0]["not_collected"]


def test_own_reports_equal_the_vendors_reader(corpus: Path) -> None:
    """Values, lines and opcodes of every tenth launch against NVIDIA's reader."""
    # NVIDIA's library loaded before onnxruntime's crashes the interpreter; in this order both live. The product loads it in a child only.
    pytest.importorskip("onnxruntime")
    ncu_report = pytest.importorskip("ncu_report")
    path = corpus / "cuda.ncu-rep"
    report, context = open_report(path), ncu_report.load_report(str(path))
    groups = [context.range_by_idx(index) for index in range(context.num_ranges())]
    actions = [group.action_by_idx(index) for group in groups for index in range(group.num_actions())]
    assert len(actions) == len(report)
    for launch in range(0, len(report), 10):
        kernel, action = report.kernel(launch), actions[launch]
        assert set(kernel.metric_names) == set(action.metric_names())
        assert [name for name in kernel.metric_names if not same(kernel.value(name), action.metric_by_name(name).value())] == []
        for pc in kernel.per_pc("inst_executed"):
            theirs, ours = action.source_info(pc), kernel.place(pc)
            assert (theirs.file_name(), theirs.line()) == (ours.file, ours.line)


def same(a: object, b: object) -> bool:
    return a == b or (a != a and b != b)  # noqa: PLR0124

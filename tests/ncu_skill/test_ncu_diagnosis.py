"""Diagnosis of real reports whose defect is known, the playbook's own consistency, and the stall back-trace."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from ncu_skill import analyses, data, diagnose, expressions, hotspots, metrics, open_report, summary
from ncu_skill.cli import cli
from ncu_skill.diagnosis import diagnose as diagnose_kernel
from ncu_skill.diagnosis import playbook
from ncu_skill.facts import ask, read_catalog
from ncu_skill.samples import Samples

PLANTED = {
    "copy_strided": ("uncoalesced-global", "LDG"),
    "copy_vec4": ("dram-bandwidth-bound", "LDG"),
    "fix_copy_strided": ("dram-bandwidth-bound", "LDG"),
    "gemm_naive": ("tensor-core-unused", "FFMA"),
    "tail": ("tail-effect", ""),
    "transpose_conflict": ("shared-bank-conflict", "LDS"),
    "transpose_padded": ("dram-bandwidth-bound", ""),
    "triton_softmax": ("dram-bandwidth-bound", "LDG"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_first_finding_is_what_was_planted(shared: Path, name: str) -> None:
    document = diagnose(shared / f"{name}.ncu-rep")
    first = document["kernels"][0]["findings"][0]
    finding, opcode = PLANTED[name]
    assert first["id"] == finding
    assert not opcode or opcode in {place["opcode"] for place in first["locations"][:2]}
    assert json.loads(json.dumps(document, allow_nan=False))["schema_version"] == 1


def test_a_long_wait_is_traced_to_the_load(shared: Path) -> None:
    kernel = open_report(shared / "copy_vec4.ncu-rep").kernel(0)
    samples = Samples(kernel)
    pc, share = samples.hottest("long_scoreboard")[0]
    producers = samples.producers(pc, "long_scoreboard")
    assert share > 0.9
    assert samples.code[pc].opcode == "STG"
    assert [(item.opcode, item.width_bits) for item in producers] == [("LDG", 128)]


class StandIn:
    """Stands in for the report of a B200, which cannot be had here: a few metrics with the values of public profiles."""

    def __init__(self, **values: float) -> None:
        self._values = {f"sm__pipe_{name}_cycles_active.avg.pct_of_peak_sustained_active": value for name, value in values.items()}

    def number(self, name: str) -> float | None:
        return self._values.get(name)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"tensor": 69.19, "tc": 0.0}, 69.19),  # mma.sync: the tc pipe does not see it
        ({"tensor": 52.36, "tc": 59.93}, 59.93),  # tcgen05.mma
        ({"tensor": 40.0}, 40.0),  # sm_90
        ({"tc": 12.0}, 12.0),
        ({"tensor": math.nan, "tc": 12.0}, 12.0),
    ],
)
def test_tensor_work_is_seen_in_whichever_pipe_counts_it(values: dict[str, float], expected: float) -> None:
    assert read_catalog(StandIn(**values)).get("tensor_pct") == expected


def test_a_missing_metric_says_which_of_three_it_is(shared: Path) -> None:
    kernel = open_report(shared / "tail.ncu-rep").kernel(0)
    assert ask(kernel, "dram__bytes_read.sum").state == "collected"
    assert ask(kernel, "sm__pipe_tc_cycles_active.avg.pct_of_peak_sustained_active").state == "not-on-this-chip"
    assert ask(kernel, "nothing__like.this").state == "not-collected"


def test_host_facts_and_paths_are_redacted_unless_asked_for(shared: Path) -> None:
    report = open_report(shared / "tail.ncu-rep")
    assert report.producer.ncu_version.startswith("2025.3.1")
    assert report.producer.clock_control == "none"
    assert report.producer.host == {}
    assert "/" not in report.producer.command_line
    assert report.producer_unredacted().host["host_name"]


def test_every_playbook_entry_uses_known_facts_and_can_be_tested() -> None:
    for play in playbook().values():
        assert play.fixes
        assert play.falsifier
        for text in (*play.when, play.share, play.level):
            assert isinstance(expressions.names(text), list)
        assert play.explains <= {*playbook(), "*"}


def test_every_read_command_prints_one_json_document(shared: Path) -> None:
    for verb in ("diagnose", "summary", "hotspots", "metrics"):
        done = CliRunner().invoke(cli, [verb, str(shared / "tail.ncu-rep"), "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["schema_version"] == 1


def test_the_text_of_one_kernel_stays_under_a_thousand_tokens(shared: Path) -> None:
    for name in PLANTED:
        done = CliRunner().invoke(cli, ["diagnose", str(shared / f"{name}.ncu-rep")])
        assert len(done.stdout) < 4000


def test_facade_verbs_answer_on_a_real_report(shared: Path) -> None:
    path = shared / "gemm_naive.ncu-rep"
    assert summary(path)["groups"][0]["bound"] == "l1"
    assert hotspots(path)["lines"][0]["producers"][0]["opcode"] == "LDG"
    rows = metrics(path, match="gpu__time_duration.sum")["metrics"]
    assert rows[0]["value"] == open_report(path).kernel(0).duration_ns


def test_the_compiled_tables_are_those_of_the_yaml_files() -> None:
    assert data.COMPILED.read_text(encoding="utf-8") == data.compiled_text()


def test_diagnose_follows_its_published_schema(shared: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(data.__file__).with_name("diagnose.schema.json")).read_text(encoding="utf-8"))
    for name in PLANTED:
        jsonschema.validate(json.loads(json.dumps(diagnose(shared / f"{name}.ncu-rep"))), schema)


@pytest.mark.parametrize("prefixes", [("gpu__",), ("launch__", "gpu__time"), ("smsp__pcsamp", "inst_executed"), ("nothing",)])
def test_a_report_with_few_sections_is_diagnosed_and_says_what_is_missing(shared: Path, prefixes: tuple[str, ...]) -> None:
    report = open_report(shared / "copy_strided.ncu-rep")
    kernel = report.kernel(0)
    kernel._metrics = {name: place for name, place in kernel._metrics.items() if name.startswith(prefixes)}
    kernel._sections = []
    found = diagnose(report)["kernels"][0]
    assert found["not_collected"]
    assert {item["id"] for item in found["findings"]} <= {"dram-bandwidth-bound", "memory-latency", "dependency-latency"}


def test_damaged_pcs_have_no_producers(shared: Path) -> None:
    samples = Samples(open_report(shared / "tail.ncu-rep").kernel(0))
    assert samples.producers(12345, "long_scoreboard") == []


def test_a_grid_that_gives_each_sm_few_warps_is_named_where_arithmetic_latency_shows(first_set: Path) -> None:
    names = (first_set / "cases.txt").read_text(encoding="utf-8").split()
    kernel = open_report(first_set / "cuda.ncu-rep").kernel(names.index("onewarp_fixed"))
    facts, samples = analyses.run(kernel)
    assert facts.number("coverage_pct") == 100
    assert facts.number("waves") < 0.3
    assert diagnose_kernel(kernel, facts, samples)[0].id == "small-grid"
    facts.add("few_warps", 0.0, "", "a grid of more blocks")
    assert "small-grid" not in {finding.id for finding in diagnose_kernel(kernel, facts, samples)}


@pytest.mark.parametrize(("waste", "first"), [(0.1, "fma-bound"), (0.3, "fma-bound"), (0.5, "thread-divergence")])
def test_branches_that_became_predicates_are_divergence_too(first_set: Path, waste: float, first: str) -> None:
    """A stand-in: the facts of a busy kernel, with its lanes switched off by predicates."""
    names = (first_set / "cases.txt").read_text(encoding="utf-8").split()
    kernel = open_report(first_set / "cuda.ncu-rep").kernel(names.index("fma"))
    facts, samples = analyses.run(kernel)
    assert facts.number("predicated_waste") < 0.1
    facts.add("predicated_waste", waste, "of lanes", "stand-in")
    assert diagnose_kernel(kernel, facts, samples)[0].id == first

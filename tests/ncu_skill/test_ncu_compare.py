"""Comparison of real reports: pairs with a known defect, equal launches, reports that cannot be compared, and hostile strings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ncu_skill import compare, open_report
from ncu_skill.cli import cli
from ncu_skill.comparison import code, compare_series, findings, noise, pairing, speed
from ncu_skill.comparison.changes import changes, family
from ncu_skill.comparison.model import Pair, Side
from ncu_skill.data import table
from ncu_skill.errors import BadArgument, NotFound
from ncu_skill.facts import catalog

Craft = Callable[[Path, Path, dict[str, str]], Path]

ROOT = Path(__file__).parents[2]


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def labels() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "benchmarks" / "ncu" / "pairs" / "labels.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def sides(pair_set: Path) -> dict[str, Side]:
    """{case: its launches} of the first run."""
    index = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))
    found: dict[str, Side] = {}
    for report in ("first", "second"):
        for case, kernel in zip(index["launches"][report], open_report(pair_set / f"{report}.ncu-rep"), strict=True):
            found.setdefault(case, Side([])).kernels.append(kernel)
    return found


@pytest.fixture(scope="module")
def twins(sides: dict[str, Side], labels: dict[str, Any]) -> dict[str, Pair]:
    """{defect: pair with its twin}, three launches each."""
    found = {label["fixes"]: twin for twin, label in labels.items() if twin in sides and label.get("fixes") in sides}
    return {base: Pair(sides[base], sides[twin], "label") for base, twin in found.items() if len(sides[twin].kernels) == 3}


def test_the_planted_finding_of_a_pair_is_resolved(twins: dict[str, Pair], labels: dict[str, Any]) -> None:
    counted = [base for base in twins if not labels[f"{base}_fixed"].get("shares_bound")]
    wrong = [base for base in counted if not set(labels[base]["finding"]) & set(findings.movement(twins[base]).resolved)]
    assert len(counted) >= 20
    assert len(wrong) <= 0.05 * len(counted), wrong


def test_every_fix_is_called_faster_and_other_launches_land_in_the_interval(twins: dict[str, Pair]) -> None:
    inside: list[bool] = []
    for name, pair in twins.items():
        found = speed.interval(pair.base, pair.candidate)
        assert speed.verdict(found) == "faster", name
        for index in range(3):
            single = speed.of_durations([pair.base.durations_ns[index]], [pair.candidate.durations_ns[index]])
            other = pair.base.durations_ns[index - 1] / pair.candidate.durations_ns[index - 1]
            assert single is not None
            inside.append(single.low <= other <= single.high)
    assert sum(inside) >= 0.95 * len(inside)


def equal_kernels(*pairs: tuple[Path, Path]) -> Iterator[dict[str, Any]]:
    for base, candidate in pairs:
        document = compare(base, candidate, top=50)
        assert document["comparable"] == {"ok": True, "reasons": [], "cautions": []}
        yield from document["kernels"]


def test_two_runs_of_equal_programs_are_never_called_faster_slower_or_changed(pair_set: Path, shape_set: Path) -> None:
    found = list(
        equal_kernels(
            (shape_set / "shapes.ncu-rep", shape_set / "shapes_again.ncu-rep"),
            (pair_set / "second.ncu-rep", pair_set / "again.ncu-rep"),
            (pair_set / "first.ncu-rep", pair_set / "again.ncu-rep"),
        )
    )
    alike = [row for row in found if row["matched_by"].startswith("name, grid")]
    assert len(alike) >= 18
    assert {row["verdict"] for row in alike} <= {"same", "inconclusive"}
    assert sum(row["verdict"] == "same" for row in alike) >= len(alike) / 2
    assert [row["lines"] for row in alike if row["lines"]] == []
    assert [(row["name"], row["findings"]) for row in alike if row["findings"]["resolved"] or row["findings"]["new"]] == []


def test_single_launches_of_one_run_are_never_called_different(sides: dict[str, Side]) -> None:
    wrong, lines, metrics, count = [], 0, 0, 0
    for name, side in list(sides.items())[::2]:
        for a, b in zip(side.kernels, side.kernels[1:], strict=False):
            pair = Pair(Side([a]), Side([b]), "")
            count += 1
            if speed.verdict(speed.interval(pair.base, pair.candidate)) in {"faster", "slower"}:
                wrong.append(name)
            lines += sum(row.changed for row in code.lines(pair))
            metrics += sum(change.changed for change in changes(pair))
    assert count >= 40
    assert wrong == []
    assert lines == 0
    assert metrics < 0.5 * count


def test_the_document_of_a_fix_says_what_changed_and_why(shared: Path) -> None:
    row = compare(shared / "transpose_conflict.ncu-rep", shared / "transpose_padded.ncu-rep")["kernels"][0]
    assert row["matched_by"] == "name, other template arguments"
    assert row["verdict"] == "faster"
    assert row["interval"]["low"] < row["duration_ns"]["speedup"] < row["interval"]["high"]
    assert row["findings"]["resolved"] == ["shared-bank-conflict"]
    assert row["why"][0]["key"] in {"shared_conflicts", "shared_wavefronts", "shared_excess"}
    steps = [item["step"] for item in row["why"]]
    assert steps == sorted(steps, key=list(table("comparison")["steps"]).index)
    for law in row["identity"]:
        assert math.isclose(math.prod(item["times"] for item in law["factors"]), row["duration_ns"]["speedup"], rel_tol=1e-9)
    assert row["lines"][0]["changed"]
    assert {item["key"] for item in row["metrics"]} >= {"registers", "shared_bytes", "occupancy_achieved_pct", "instructions"}


def test_a_report_against_itself_is_the_same_in_everything(shared: Path) -> None:
    path = shared / "gemm_naive.ncu-rep"
    row = compare(path, path)["kernels"][0]
    assert row["verdict"] == "same"
    assert row["lines"] == row["why"] == row["opcodes"] == []
    assert not any(item["changed"] for item in row["metrics"])


CRAFTED = {
    "GPU": {"NVIDIA H200": "NVIDIA H100"},
    "ncu version": {"2025.3.1.0": "2024.3.1.0"},
    "clock control": {"--clock-control none": "--clock-control base"},
}


@pytest.mark.parametrize("what", CRAFTED)
def test_reports_of_other_device_version_or_clocks_get_no_verdict_and_say_so_first(
    shared: Path, tmp_path: Path, crafted: Craft, what: str
) -> None:
    path = shared / "transpose_padded.ncu-rep"
    other = crafted(path, tmp_path / "other.ncu-rep", CRAFTED[what])
    document = compare(shared / "transpose_conflict.ncu-rep", other)
    assert not document["comparable"]["ok"]
    assert what in document["comparable"]["reasons"][0]
    row = document["kernels"][0]
    assert (row["verdict"], row["duration_ns"]["speedup"], row["interval"], row["identity"]) == ("inconclusive", None, None, [])
    text = run("diff", shared / "transpose_conflict.ncu-rep", other).output
    assert text.startswith("NOT COMPARABLE")
    assert "faster" not in text
    assert run("diff", path, other, "--fail-on-regression", "5").exit_code == 1


def test_another_cache_setting_is_not_comparable_either(shape_set: Path) -> None:
    document = compare(shape_set / "shapes.ncu-rep", shape_set / "shapes_warm.ncu-rep", kernel="copying")
    assert "--cache-control" in document["comparable"]["reasons"][0]


def test_a_regression_fails_a_check_and_noise_does_not(shared: Path, shape_set: Path) -> None:
    slow, fast = shared / "transpose_conflict.ncu-rep", shared / "transpose_padded.ncu-rep"
    assert run("diff", fast, slow, "--fail-on-regression", "5").exit_code == 1
    assert run("diff", fast, slow, "--fail-on-regression", "500").exit_code == 0
    assert run("diff", slow, fast, "--fail-on-regression", "0").exit_code == 0
    assert run("diff", shape_set / "shapes.ncu-rep", shape_set / "shapes_again.ncu-rep", "--fail-on-regression", "0").exit_code == 0


def test_a_series_marks_the_best_and_leaves_out_another_kernel(shared: Path) -> None:
    names = ("transpose_conflict", "transpose_padded", "tail")
    document = compare_series([shared / f"{name}.ncu-rep" for name in names])
    assert [row["best"] for row in document["series"]] == [False, True, False]
    assert document["series"][2]["name"] is None
    done = run("diff", *(shared / f"{name}.ncu-rep" for name in names), "--json")
    assert json.loads(done.stdout)["schema_version"] == 1


def test_kernels_of_one_report_are_compared_by_launch_and_by_name(pair_set: Path) -> None:
    path = pair_set / "first.ncu-rep"
    index = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]["first"]
    by_launch = compare(path, path, base_launch=index.index("bodies"), candidate_launch=index.index("bodies_fixed"))
    assert by_launch["kernels"][0]["launches"] == {"base": 3, "candidate": 3}
    assert by_launch["kernels"][0]["findings"]["resolved"] == ["shared-bank-conflict"]
    row = by_launch["kernels"][0]
    by_name = compare(path, path, base_kernel=r"append_positive\(", candidate_kernel="append_.*warp|append_")
    assert by_name["kernels"]
    assert row["duration_ns"]["speedup"] > 3


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"kernel": "("}, BadArgument),
        ({"kernel": "nosuchkernel"}, NotFound),
        ({"base_launch": 99}, NotFound),
        ({"top": 0}, BadArgument),
    ],
)
def test_bad_arguments_are_named(shared: Path, words: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        compare(shared / "tail.ncu-rep", shared / "tail.ncu-rep", **words)


def test_one_report_is_not_a_comparison(shared: Path) -> None:
    assert run("diff", shared / "tail.ncu-rep").exit_code == 2


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("void a::b<(int)1, float>(float *, int)", "a::b"),
        ("tail_fma(float *, int)", "tail_fma"),
        ("softmax_kernel", "softmax_kernel"),
        ("void f<g<h>>(x<y> *)", "f"),
        ("", ""),
    ],
)
def test_the_base_name_leaves_out_templates_types_and_parameters(name: str, base: str) -> None:
    assert pairing.base_name(name) == base


def test_a_fused_kernel_is_named_for_those_it_swallowed(sides: dict[str, Side]) -> None:
    def named(name: str) -> Side:
        side = Side([sides["tiles"].kernels[0]])
        return type("Named", (Side,), {"name": name})(side.kernels)

    swallowed = pairing.fused_into(named("void scale_kernel(float *)"), [named("other(float *)"), named("fused_scale_add_kernel(float *)")])
    assert swallowed is not None
    assert swallowed.name.startswith("fused_scale_add")
    assert pairing.fused_into(named("bias(float *)"), [named("scale(float *)")]) is None


def test_lines_are_matched_by_content_when_the_file_moved() -> None:
    before = ["int a;", "x = y;", "loop();", "end();"]
    assert code._line_map(before, ["// new", "int a;", "x = y;", "extra();", "loop();", "end();"]) == {1: 2, 2: 3, 3: 5, 4: 6}


def test_few_samples_cannot_tell_a_changed_line() -> None:
    base, candidate = code.Heat(total=900.0), code.Heat(total=90_000.0)
    base.counts["f", 1], candidate.counts["f", 1] = 800, 100
    assert code._line_change(base, candidate, ("f", 1), ("f", 1), "number").status == "cannot tell"
    base.total = 90_000.0
    base.counts["f", 1] = 80_000
    assert code._line_change(base, candidate, ("f", 1), ("f", 1), "number").status == "cooler"


def test_launches_of_different_work_under_one_name_make_the_interval_wide() -> None:
    narrow = speed.of_durations([100e3, 101e3, 100e3], [50e3, 50e3, 50.5e3])
    wide = speed.of_durations([100e3, 300e3, 100e3], [50e3, 50e3, 50.5e3])
    assert narrow is not None
    assert wide is not None
    assert wide.high / wide.low > 1.5 * narrow.high / narrow.low
    assert speed.of_durations([], [1.0]) is None
    assert speed.verdict(None) == "inconclusive"


def test_every_listed_metric_is_a_fact_or_has_names_and_a_noise_family(shared: Path, pair_set: Path) -> None:
    rows = table("comparison")["metrics"]
    known = {key for path in (shared / "gemm_naive.ncu-rep", shared / "transpose_conflict.ncu-rep") for key, _ in facts(path)}
    assert [key for key, row in rows.items() if "metrics" not in row and key not in known and key not in catalog()] == []
    families = noise.table()["families"]
    assert {row["family"] for row in rows.values()} <= set(families)
    assert {name for _, name in table("comparison")["families"]} <= set(families)
    assert {row["step"] for row in rows.values()} == set(table("comparison")["steps"])
    for name in open_report(shared / "tail.ncu-rep").kernel(0).metric_names:
        assert family(name) in families


def facts(path: Path) -> list[tuple[str, Any]]:
    from ncu_skill import analyses

    return list(analyses.run(open_report(path).kernel(0))[0].items())


def test_raw_metrics_are_compared_on_demand(shared: Path) -> None:
    rows = compare(shared / "transpose_conflict.ncu-rep", shared / "transpose_padded.ncu-rep", match="l1tex__data_bank_conflicts*")[
        "kernels"
    ][0]
    assert any(row["changed"] for row in rows["raw_metrics"])


HOSTILE = {"tail_fma(float *, int)": "<script>x()</script>\x1b[", "for(int i=0;i<iters;i++){": "<img src=x onerror=a()>\x1b["}


def test_hostile_names_and_source_stay_inert_in_text_and_markdown(shared: Path, tmp_path: Path, crafted: Craft) -> None:
    path = crafted(shared / "tail.ncu-rep", tmp_path / "hostile.ncu-rep", HOSTILE)
    for words in (("diff", path, path), ("diff", path, path, "--format", "md"), ("diff", path, path, path)):
        text = run(*words).output
        assert "<script>" in text
        assert "\x1b" not in text
    document = json.loads(run("diff", path, path, "--json").stdout)
    assert document["kernels"][0]["name"].startswith("<script>")


def test_nvtx_ranges_tell_launches_of_one_kernel_apart(sides: dict[str, Side]) -> None:
    first, second, third = sides["tiles"].kernels
    base = [Side([first], ("forward",)), Side([second], ("backward <b>\x1b",))]
    candidate = [Side([third], ("backward <b>\x1b",)), Side([first], ("forward",))]
    pairs, left, right = pairing.pair(base, candidate)
    assert [(pair.base.nvtx, pair.candidate.nvtx) for pair in pairs] == [(side.nvtx, side.nvtx) for side in base]
    assert {pair.matched_by for pair in pairs} == {"name, grid, block and NVTX"}
    assert left == right == []


def test_many_launches_keep_their_times_and_few_of_their_metrics(sides: dict[str, Side]) -> None:
    side = Side([])
    for _ in range(200):
        for kernel in sides["tiles"].kernels:
            side.add(kernel)
    assert len(side.kernels) == 9
    assert len(side.launches) == len(side.durations_ns) == 600
    assert side.median.duration_ns == side.duration_ns


def test_the_document_follows_its_published_schema(shared: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "ncu_skill" / "comparison" / "compare.schema.json").read_text(encoding="utf-8"))
    for names in (("transpose_conflict", "transpose_padded"), ("tail", "tail"), ("copy_strided", "triton_softmax")):
        document = compare(*(shared / f"{name}.ncu-rep" for name in names), match="launch__*")
        jsonschema.validate(json.loads(json.dumps(document)), schema)

"""Timelines from PM sampling: known shapes, alignment of passes, refusal, and pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from ncu_skill import open_report
from ncu_skill.cli import cli
from ncu_skill.errors import BadArgument, UnreadableReport
from ncu_skill.pmsampling import facade, phases, series
from ncu_skill.pmsampling.series import Timeline

ROOT = Path(__file__).parents[2]
Craft = Callable[[Path, Path, dict[str, str]], Path]


def truth(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "benchmarks" / "ncu" / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def shapes(shape_set: Path) -> list[tuple[str, dict[str, Any]]]:
    """(case, document) of every launch of both runs: three launches a case."""
    order = [case for case in (shape_set / "shapes.cases").read_text(encoding="utf-8").split() for _ in range(3)]
    found = []
    for name in ("shapes", "shapes_again"):
        report = open_report(shape_set / f"{name}.ncu-rep")
        found += [(case, facade.timeline(report, launch=launch)) for launch, case in enumerate(order)]
    return found


def test_every_launch_of_known_shape_shows_that_shape(shapes: list[tuple[str, dict[str, Any]]]) -> None:
    known = truth("shapes/shapes.yaml")
    wrong = [(case, document["shape"]) for case, document in shapes if document["shape"] != known[case]["shape"]]
    assert len(shapes) == 84
    assert wrong == []


def test_phases_have_the_share_and_the_period_that_the_program_fixes(shapes: list[tuple[str, dict[str, Any]]]) -> None:
    known = truth("shapes/shapes.yaml")
    checked = 0
    for case, document in shapes:
        label = known[case]
        if "share_pct" in label:
            share = sum(phase["share_pct"] for phase in document["phases"] if phase["kind"] == label["phase"])
            assert label["share_pct"][0] <= share <= label["share_pct"][1], case
            checked += 1
        if "period_us" in label:
            period = next(phase["period_ns"] for phase in document["phases"] if phase["kind"] == "sawtooth") / 1000
            assert label["period_us"][0] <= period <= label["period_us"][1], case
            checked += 1
    assert checked == 30


def test_shapes_planted_by_another_hand_are_read_right(pair_set: Path) -> None:
    order = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]["second"]
    known = {case: label["timeline"] for case, label in truth("pairs/labels.yaml").items() if "timeline" in label}
    report = open_report(pair_set / "second.ncu-rep")
    found = {case: facade.timeline(report, launch=order.index(case))["shape"] for case in known if case in order}
    assert len(found) == 5
    assert found == {case: known[case] for case in found}


def test_phases_follow_each_other_and_cover_the_run(shapes: list[tuple[str, dict[str, Any]]]) -> None:
    for _, document in shapes:
        at = 0.0
        for phase in document["phases"]:
            assert phase["start_ns"] == at
            at += phase["length_ns"]
        assert at == pytest.approx(document["duration_ns"])
        assert document["duration_ns"] == pytest.approx(document["kernel"]["duration_ns"], rel=0.05)


def test_passes_with_other_clock_bases_are_aligned(shape_set: Path) -> None:
    """In the kernel that pauses, the warps' states of a later pass change in the same samples as the activity of the first pass."""
    report = open_report(shape_set / "shapes.ncu-rep")
    kernel = next(kernel for kernel in report if kernel.name.startswith("pausing"))
    line = series.read(kernel)
    assert line is not None
    assert line.passes > 1
    paused = line.series["issue"] < 0.5 * np.max(line.series["issue"])
    sleeping = line.warp_states["sleeping"] > 0.5 * np.max(line.warp_states["sleeping"])
    assert np.mean(paused == sleeping) > 0.97
    raw = [
        kernel.instances(name)[1][5]
        for name in ("TPC.TriageCompute.sm__cycles_active.avg", "pmsampling:smsp__warps_issue_stalled_sleeping.avg")
    ]
    assert abs(int(raw[0]) - int(raw[1])) > 1e6


def test_warp_states_are_shares_of_the_sampled_warps(shared: Path) -> None:
    line = series.read(open_report(shared / "transpose_conflict.ncu-rep").kernel(0))
    assert line is not None
    total = np.sum(list(line.warp_states.values()), axis=0)
    assert np.all((total < 1.000001) & (total >= 0))
    assert np.mean(total > 0.999) > 0.95


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("pmsampling:smsp__warps_issue_stalled_wait.avg", "smsp__warps_issue_stalled_wait.avg"),
        ("TPC.TriageCompute.sm__cycles_active.avg", "sm__cycles_active.avg"),
        ("FBSP.TriageCompute.dramc__throughput.avg.pct_of_peak_sustained_elapsed", "dramc__throughput.avg.pct_of_peak_sustained_elapsed"),
        ("FBPA.TriageA.dramc__throughput.avg.pct_of_peak_sustained_elapsed", "dramc__throughput.avg.pct_of_peak_sustained_elapsed"),
        ("sm__cycles_active.avg", "sm__cycles_active.avg"),
    ],
)
def test_a_series_is_known_by_the_name_behind_its_prefix(name: str, base: str) -> None:
    assert series.base_name(name) == base


def test_few_samples_are_refused_with_how_to_collect_more(first_set: Path) -> None:
    report = open_report(first_set / "cuda.ncu-rep")
    launch = (first_set / "cases.txt").read_text(encoding="utf-8").split().index("tiny")
    document = facade.timeline(report, launch=launch)
    assert document["shape"] is None
    assert document["phases"] == document["series"] == []
    assert "--pm-sampling-interval" in document["refused"]
    assert document["samples"] < 20
    done = CliRunner().invoke(cli, ["timeline", str(first_set / "cuda.ncu-rep"), "--launch", str(launch)])
    assert (done.exit_code, "no timeline" in done.output) == (0, True)


def test_a_report_without_pm_samples_says_which_section_gives_them(first_set: Path, tmp_path: Path) -> None:
    path = first_set / "range.ncu-rep"
    assert "--section PmSampling" in facade.timeline(path)["refused"]
    with pytest.raises(BadArgument, match="PmSampling"):
        facade.plot(path, tmp_path / "x.svg")
    assert list(tmp_path.iterdir()) == []


def made(level: list[float], busy: list[float] | None = None) -> Timeline:
    values = np.array(level, dtype=np.float64)
    active = np.array(busy if busy is not None else [100.0] * len(level), dtype=np.float64)
    return Timeline(np.arange(len(level)) * 1000.0, 1000.0, {"issue": values, "sm_active": active}, {}, 1)


@pytest.mark.parametrize(
    ("level", "waves", "shape", "kinds"),
    [
        ([90.0] * 200, 4.0, "flat", ["steady"]),
        ([0.45 * at for at in range(200)] + [90.0] * 200, 1.0, "ramp", ["ramp", "steady"]),
        ([90.0] * 100 + [90 - 0.45 * at for at in range(200)], 1.0, "ramp", ["steady", "ramp"]),
        ([90.0] * 150 + [10.0] * 50, 3.2, "tail", ["steady", "tail"]),
        ([90.0] * 150 + [10.0] * 50, 0.8, "imbalance", ["steady", "tail"]),
        ([90.0] * 150 + [10.0] * 150, 7.4, "imbalance", ["steady", "tail"]),
        (([90.0] * 10 + [20.0] * 10) * 12, 1.0, "sawtooth", ["sawtooth"]),
        ([90.0] * 80 + [1.0] * 60 + [90.0] * 80, 1.0, "gaps", ["steady", "gap", "steady"]),
        ([90.0, 60.0] * 100, 5.0, "flat", ["steady"]),
    ],
)
def test_made_up_levels_give_their_shape(level: list[float], waves: float, shape: str, kinds: list[str]) -> None:
    found = phases.reading(made(level), waves)
    assert found.shape == shape
    assert [phase.kind for phase in found.phases if phase.end - phase.start > 20] == kinds


def test_a_swing_at_random_times_is_no_sawtooth() -> None:
    rng = np.random.default_rng(7)
    level: list[float] = []
    while len(level) < 400:
        level += [90.0] * int(rng.integers(2, 60)) + [30.0] * int(rng.integers(2, 60))
    assert phases.reading(made(level), 1.0).shape != "sawtooth"


def test_pictures_are_the_same_every_time_and_well_formed(shared: Path, tmp_path: Path) -> None:
    path = shared / "tail.ncu-rep"
    first, second = (facade.plot(path, tmp_path / f"{name}.svg").read_bytes() for name in "ab")
    assert first == second
    root = ET.fromstring(first)
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"SMs active", "steady", "tail", "instructions issued"} <= set(texts)
    assert facade.plot(path, tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(BadArgument, match=r"\.svg or \.png"):
        facade.plot(path, tmp_path / "a.bmp")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.png", "a.svg", "b.svg"]


def test_hostile_names_stay_inert_in_pictures_and_text(shared: Path, tmp_path: Path, crafted: Craft) -> None:
    path = crafted(shared / "tail.ncu-rep", tmp_path / "h.ncu-rep", {"tail_fma(float *, int)": "<script>$x_{y}</sc\x1b[2J"})
    picture = facade.plot(path, tmp_path / "h.svg").read_text(encoding="utf-8")
    assert "<script" not in picture
    assert "\x1b" not in picture
    assert any("$x_{y}" in "".join(node.itertext()) for node in ET.fromstring(picture).iter())
    assert "\x1b" not in CliRunner().invoke(cli, ["timeline", str(path)]).output


@pytest.mark.parametrize(("shift", "error"), [(10**18, True), (0, False)])
def test_timestamps_and_values_that_cannot_be_do_not_eat_memory(
    shared: Path, shift: int, error: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = open_report(shared / "tail.ncu-rep").kernel(0)
    real = kernel.instances

    def damaged(name: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        values, ids = real(name)
        if "Triage" not in name:
            return values, ids
        values = (float("nan"), float("inf"), -1.0, *values[3:])
        return values, (*ids[:300], *(at + shift if isinstance(at, int) and at else at for at in ids[300:]))

    monkeypatch.setattr(kernel, "instances", damaged)
    if error:
        with pytest.raises(UnreadableReport, match="impossible time"):
            series.read(kernel)
    else:
        line = series.read(kernel)
        assert line is not None
        assert all(np.all(np.isfinite(values)) for values in line.series.values())

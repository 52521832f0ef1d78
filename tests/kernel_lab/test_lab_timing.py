"""What measured times may be said to show: a cache by value is seen through noise, and noise is not called a cache."""

from __future__ import annotations

import json
import random

import pytest
from lab_parts import ROOT

from kernel_lab.local import clocks_of
from kernel_lab.timing import cache_seen, paired_ratio


def _noisy(source: random.Random, base: float, count: int) -> list[float]:
    """Times that swing by tens of percent, with a spike of three to twenty times now and then: a machine that others use."""
    return [base * source.lognormvariate(0, 0.4) * (source.uniform(3, 20) if source.random() < 0.15 else 1) for _ in range(count)]


def _judged(source: random.Random, again: float, new: float) -> bool:
    seen: list[float] = []
    unseen: list[float] = []
    for _ in range(4):
        seen += _noisy(source, again, 5)
        unseen += _noisy(source, new, 5)
        said = cache_seen(seen, unseen)
        if said is not None:
            return said
    return False


def test_a_machine_that_swings_is_hardly_ever_called_a_cache() -> None:
    source = random.Random(20)
    called = sum(_judged(source, 1.0, 1.0) for _ in range(4000))
    assert called <= 6


def test_a_cache_is_seen_on_the_same_machine() -> None:
    source = random.Random(21)
    assert sum(_judged(source, 0.1, 1.0) for _ in range(400)) >= 388
    assert sum(_judged(source, 0.25, 1.0) for _ in range(400)) >= 320


@pytest.mark.parametrize(("seen", "said"), [([0.2] * 5, None), ([0.2] * 10, True), ([0.9] * 5, False)])
def test_five_pairs_acquit_but_never_convict(seen: list[float], said: bool | None) -> None:
    assert cache_seen(seen, [1.0] * len(seen)) is said


def test_a_ratio_of_six_pairs_has_an_interval_and_one_of_five_has_the_whole_range() -> None:
    six = paired_ratio([2.0, 2.1, 1.9, 2.0, 2.2, 1.8], [1.0] * 6)
    assert six.verdict == "faster" and six.low >= 1.8
    assert paired_ratio([2.0, 0.5, 2.0, 2.0, 2.0], [1.0] * 5).verdict == "same within noise"


RECORDS = [
    (path.stem, row)
    for path in sorted((ROOT / "benchmarks" / "lab").glob("h200*.json"))
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
    if row["timings"]
]


@pytest.mark.parametrize(("record", "row"), RECORDS, ids=[f"{record}-{row['name']}" for record, row in RECORDS])
def test_the_clocks_of_recorded_h200_runs_tell_side_streams_and_patched_timers_from_honest_work(record: str, row: dict) -> None:
    problem, doubt = clocks_of(row["timings"])
    if row["kind"].startswith("honest"):
        assert not problem and not doubt
    elif row["kind"] in ("side-stream work", "patched timers"):
        assert problem or doubt


@pytest.mark.parametrize(
    ("event", "batch_event", "wall", "kernels", "said"),
    [
        (0.1, 0.1, 0.1, 90.0, ""), (0.1, 0.02, 0.1, 10.0, "problem"), (0.1, 0.06, 0.08, 130.0, "problem"),
        (0.1, 0.1, 0.1, 180.0, "doubt"), (0.1, 0.1, 0.1, 390.0, "doubt"), (0.1, 0.1, 0.1, 0.0, ""),
    ],
)  # fmt: skip
def test_joined_streams_are_a_doubt_and_work_outside_the_events_a_problem(
    event: float, batch_event: float, wall: float, kernels: float, said: str
) -> None:
    row = {"workload": "w", "event_ms": event, "batch_event_ms": batch_event, "batch_wall_ms": wall, "kernel_us": kernels, "kernels": [1]}
    problem, doubt = clocks_of([row])
    assert ("problem" if problem else "doubt" if doubt else "") == said

"""Noise model: how far identical launches lie apart, from replicates and from noise.json (made by benchmarks/ncu/noise.py)."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("noise.json")
REPLICATE_SIGMAS = 4.0


@cache
def table() -> dict[str, Any]:
    """The shipped table: `duration` per length class, `families` of metrics, `line_share`."""
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def length_class(duration_ns: float) -> str:
    """The class of a launch by its duration; short launches are noisier."""
    for name, below_ns in table()["classes"]:
        if below_ns is None or duration_ns < below_ns:
            return str(name)
    raise AssertionError("the last class has no bound")


@dataclass(frozen=True)
class DurationNoise:
    """Standard deviations of the log of a duration: between launches of one run, and between two runs."""

    within: float
    between: float
    degrees: float


def duration_noise(duration_ns: float, groups: list[list[float]]) -> DurationNoise:
    """The table's deviations, the one between launches blended with that of the replicates at hand.

    `groups` are the durations of each side. The table counts as `prior_degrees` observations: three quiet launches prove little.
    """
    row = table()["duration"][length_class(duration_ns)]
    prior, degrees = float(row["within"]), float(table()["prior_degrees"])
    squares, count = 0.0, 0
    for values in groups:
        logs = [math.log(value) for value in values]
        if len(logs) > 1:
            mean = statistics.fmean(logs)
            squares += sum((value - mean) ** 2 for value in logs)
            count += len(logs) - 1
    within = math.sqrt((degrees * prior**2 + squares) / (degrees + count))
    return DurationNoise(within, float(row["between"]), degrees + count)


def limit(family: str, base: list[float], candidate: list[float], duration_ns: float) -> float:
    """The largest difference that noise explains: a ratio's logarithm for relative families, points for the others.

    The table's 99th percentile of identical launches, or four deviations of the replicates where these scatter more.
    """
    row = table()["families"][family]
    known = float(row["limit"][length_class(duration_ns)])
    spread = max(_spread(values, relative=row["kind"] == "relative") for values in (base, candidate))
    return max(known, REPLICATE_SIGMAS * spread)


def difference(family: str, base: float, candidate: float) -> float:
    """How far two values lie apart in the family's own measure; infinite where one of them is zero and the other not."""
    if table()["families"][family]["kind"] == "points":
        return abs(candidate - base)
    if base <= 0 or candidate <= 0:
        return 0.0 if base == candidate else math.inf
    return abs(math.log(candidate / base))


def _spread(values: list[float], *, relative: bool) -> float:
    if len(values) < 2:
        return 0.0
    if relative and min(values) > 0:
        values = [math.log(value) for value in values]
    return statistics.stdev(values) if not relative or min(values) != max(values) else 0.0

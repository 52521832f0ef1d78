"""Metric changes: which metrics differ by more than noise, whether for better or worse, and which of them explain the change of time."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass
from functools import cache
from typing import Any

from ncu_skill.comparison import noise
from ncu_skill.comparison.model import Pair, Side
from ncu_skill.data import table
from ncu_skill.facts import catalog

DRAM_MATTERS = 10.0  # percent of peak, on both sides, from which on bytes x bandwidth is worth saying


@dataclass(frozen=True)
class Change:
    """One metric of both sides. `noise` is the largest difference that identical launches show, in `noise_unit`."""

    key: str
    metric: str
    meaning: str
    step: str
    unit: str
    base: float
    candidate: float
    direction: str
    changed: bool
    better: bool | None
    noise: float
    noise_unit: str

    @property
    def ratio(self) -> float | None:
        return self.candidate / self.base if self.base else None


@cache
def _rows() -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = table("comparison")["metrics"]
    return rows


def changes(pair: Pair) -> list[Change]:
    """Every listed metric that both sides hold, in the order of the causal chain."""
    found = []
    for key, row in _rows().items():
        base, candidate = _values(pair.base, key, row), _values(pair.candidate, key, row)
        if base and candidate:
            found.append(_change(key, row, pair, base, candidate))
    return found


def _values(side: Side, key: str, row: dict[str, Any]) -> list[float]:
    """The metric in every replicate at hand."""
    if "metrics" not in row:
        return side.values(key)
    for name in row["metrics"]:
        values = [value for kernel in side.kernels if (value := kernel.number(name)) is not None]
        if values:
            return values
    return []


def _change(key: str, row: dict[str, Any], pair: Pair, base: list[float], candidate: list[float]) -> Change:
    first, second = statistics.median(base), statistics.median(candidate)
    limit = noise.limit(row["family"], base, candidate, min(pair.base.duration_ns or 0.0, pair.candidate.duration_ns or 0.0))
    changed = noise.difference(row["family"], first, second) > limit and abs(second - first) > row.get("floor", 0.0)
    better = None
    if changed and row["direction"] != "neither":
        better = (second < first) == (row["direction"] == "lower")
    entry = catalog().get(key)
    facts = pair.base.analysed[0][1]
    fact = facts[key] if facts.get(key) is not None else None
    relative = noise.table()["families"][row["family"]]["kind"] == "relative"
    return Change(
        key=key,
        metric=fact.origin if fact else row.get("metrics", [key])[0],
        meaning=entry.meaning if entry else row.get("meaning", key.replace("_", " ")),
        step=row["step"],
        unit=fact.unit if fact else row.get("unit", ""),
        base=first,
        candidate=second,
        direction=row["direction"],
        changed=changed,
        better=better,
        noise=100 * math.expm1(limit) if relative else limit,
        noise_unit="%" if relative else "points",
    )


def why(found: list[Change]) -> list[Change]:
    """The changed metrics without clocks, at most three a step and the largest first within a step, steps in causal order."""
    kept = []
    for step in table("comparison")["steps"]:
        here = [change for change in found if change.step == step and change.changed]
        here.sort(key=_size, reverse=True)
        kept += here[:3]
    return kept


def _size(change: Change) -> float:
    row = _rows()[change.key]
    if noise.table()["families"][row["family"]]["kind"] == "points":
        return abs(change.candidate - change.base) / (max(abs(change.base), abs(change.candidate)) or 1.0)
    return min(9.0, noise.difference(row["family"], change.base, change.candidate))


def identity(pair: Pair) -> list[dict[str, Any]]:
    """The speedup as an exact product: instructions x instructions per cycle x clock, and bytes x bandwidth. A factor above 1 helps."""
    base, candidate = pair.base, pair.candidate
    time = _ratio(base.duration_ns, candidate.duration_ns)
    found = []
    for law, key, work, rate in (
        ("compute", "instructions", "instructions executed", "instructions per second"),
        ("memory", "dram_bytes", "device memory bytes", "device memory bandwidth"),
    ):
        less = _ratio(_median(base.values(key)), _median(candidate.values(key)))
        matters = law == "compute" or min([*base.values("dram_pct"), *candidate.values("dram_pct")], default=0.0) >= DRAM_MATTERS
        if less and time and matters:
            factors = [{"factor": work, "times": less}]
            clock = _clock(pair) if law == "compute" else None
            if clock:
                factors.append({"factor": "instructions per cycle", "times": time / less / clock})
                factors.append({"factor": "SM clock", "times": clock})
            else:
                factors.append({"factor": rate, "times": time / less})
            found.append({"law": law, "factors": factors})
    return found


def _clock(pair: Pair) -> float | None:
    row = _rows()["sm_clock"]
    return _ratio(_median(_values(pair.candidate, "sm_clock", row)), _median(_values(pair.base, "sm_clock", row)))


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def family(name: str) -> str:
    """The noise family of a raw metric name."""
    for pattern, family_name in table("comparison")["families"]:
        if re.search(pattern, name):
            return str(family_name)
    raise AssertionError("the last pattern matches everything")


def raw_changes(pair: Pair, names: list[str]) -> list[Change]:
    """Any metrics of the report by name, judged by the family of their name; direction is not known for them."""
    found = []
    for name in names:
        base = [value for kernel in pair.base.kernels if (value := kernel.number(name)) is not None]
        candidate = [value for kernel in pair.candidate.kernels if (value := kernel.number(name)) is not None]
        if base and candidate:
            row = {"step": "raw", "direction": "neither", "family": family(name), "metrics": [name]}
            found.append(_change(name, row, pair, base, candidate))
    return found

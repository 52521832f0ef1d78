"""Derives ncu_skill/comparison/noise.json from launches of equal programs, within one profiling run and between two.

Usage: python benchmarks/ncu/noise.py FOLDER_WITH_REPORTS... [--check]
Replicates are launches of one case in one report (index.json, or shapes.cases with three launches a case);
two runs are reports of one folder that hold the same cases.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from ncu_skill import analyses, open_report
from ncu_skill.comparison import code, noise
from ncu_skill.comparison.model import Side
from ncu_skill.data import table

CLASSES: list[list[Any]] = [["short", 20_000], ["medium", 200_000], ["long", None]]
PRIOR_DEGREES = 6
QUANTILE = 0.99
MIN_SHARE = 0.02
MIN_LIMIT = {"relative": 0.01, "points": 0.005}
UNKNOWN = 0.2  # a family without data
MARGIN = 1.15  # the quantile of some hundred differences is itself uncertain
FAMILIES = {
    "exact": "relative",
    "executed": "relative",
    "traffic": "relative",
    "dram": "relative",
    "hit_rate": "points",
    "utilisation": "points",
    "fraction": "points",
    "latency": "relative",
    "clock": "relative",
    "sampled": "relative",
}
# Three quiet launches do not prove that the next run is as quiet: least deviations per class (an 11 us kernel is known to differ by 3.2 %).
FLOORS = {"within": {"short": 0.012, "medium": 0.003, "long": 0.002}, "between": {"short": 0.010, "medium": 0.004, "long": 0.003}}


def length_class(duration_ns: float) -> str:
    return next(str(name) for name, below in CLASSES if below is None or duration_ns < below)


def cases(folder: Path) -> dict[str, list[str]]:
    """{report: case of every launch}"""
    index, names = folder / "index.json", folder / "shapes.cases"
    if index.is_file():
        found: dict[str, list[str]] = json.loads(index.read_text(encoding="utf-8"))["launches"]
        return found
    order = [name for name in names.read_text(encoding="utf-8").split() for _ in range(3)]
    return {"shapes": order, "shapes_again": order}


def runs(folder: Path, chosen: Callable[[str], bool] = lambda _: True) -> dict[str, dict[str, Side]]:
    """{report: {case: side}} for chosen cases with at least two launches."""
    found: dict[str, dict[str, Side]] = {}
    for report, order in cases(folder).items():
        rows: dict[str, Side] = {}
        for name, kernel in zip(order, open_report(folder / f"{report}.ncu-rep"), strict=True):
            rows.setdefault(name, Side([])).kernels.append(kernel)
        found[report] = {name: side for name, side in rows.items() if len(side.kernels) > 1 and chosen(name)}
    return found


def values(side: Side) -> list[dict[str, float]]:
    """Every listed metric of every launch."""
    rows = table("comparison")["metrics"]
    found = []
    for kernel in side.kernels:
        facts, _ = analyses.run(kernel)
        row = {key: value for key in rows if (value := facts.get(key)) is not None}
        for key, entry in rows.items():
            for name in entry.get("metrics", ()):
                if (value := kernel.number(name)) is not None:
                    row.setdefault(key, value)
        found.append(row)
    return found


def gather(folders: list[Path], chosen: Callable[[str], bool] = lambda _: True) -> dict[str, Any]:
    """All differences: durations within and between runs, metrics per family, shares of lines."""
    found: dict[str, Any] = {
        "within": defaultdict(list),
        "between": defaultdict(list),
        "families": defaultdict(list),
        "lines": [],
        "sides": 0,
    }
    for folder in folders:
        reports = runs(folder, chosen)
        measured = {(name, key): values(side) for name, rows in reports.items() for key, side in rows.items()}
        for rows in reports.values():
            for side in rows.values():
                found["sides"] += 1
                _within(found, side)
        for (_, key), rows in measured.items():
            _metrics(found, list(combinations(rows, 2)), _duration(reports, key))
        for (first, a), (second, b) in combinations(reports.items(), 2):
            for key in a.keys() & b.keys():
                _between(found, a[key], b[key])
                _metrics(found, [(_median(measured[first, key]), _median(measured[second, key]))], a[key].duration_ns or 0.0)
    return found


def _duration(reports: dict[str, dict[str, Side]], key: str) -> float:
    return next(rows[key].duration_ns or 0.0 for rows in reports.values() if key in rows)


def _median(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median([row[key] for row in rows if key in row]) for key in rows[0]}


def _within(found: dict[str, Any], side: Side) -> None:
    logs = [math.log(value) for value in side.durations_ns]
    mean = statistics.fmean(logs)
    found["within"][length_class(side.duration_ns or 0.0)].append((sum((value - mean) ** 2 for value in logs), len(logs) - 1))
    heats = [code.heat(Side([kernel])) for kernel in side.kernels]
    for a, b in combinations(heats, 2):
        if min(a.total, b.total) >= 1000:
            for line in a.counts:
                share = (a.share(line) + b.share(line)) / 2
                if MIN_SHARE < share < 1 - MIN_SHARE:
                    expected = share * (1 - share) * (1 / a.total + 1 / b.total)
                    found["lines"].append((a.share(line) - b.share(line)) ** 2 / expected)


def _between(found: dict[str, Any], a: Side, b: Side) -> None:
    difference = math.log((a.duration_ns or 1.0) / (b.duration_ns or 1.0))
    found["between"][length_class(a.duration_ns or 0.0)].append((difference, len(a.kernels), len(b.kernels)))


def _metrics(found: dict[str, Any], pairs: list[tuple[dict[str, float], dict[str, float]]], duration_ns: float) -> None:
    rows = table("comparison")["metrics"]
    for a, b in pairs:
        for key in a.keys() & b.keys():
            family, floor = rows[key]["family"], rows[key].get("floor", 0.0)
            if FAMILIES[family] == "points":
                size = abs(a[key] - b[key])
            elif min(a[key], b[key]) > 0 and max(a[key], b[key]) >= 5 * floor:
                size = abs(math.log(a[key] / b[key]))
            else:
                continue
            found["families"][family, length_class(duration_ns)].append(size)


def quantile(sizes: list[float], part: float) -> float:
    ordered = sorted(sizes)
    return ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0


def noise_table(found: dict[str, Any]) -> dict[str, Any]:
    """The table in the shape that ncu_skill.comparison.noise reads.."""
    durations: dict[str, Any] = {}
    for name, _ in CLASSES:
        squares = sum(square for square, _ in found["within"][name])
        degrees = sum(count for _, count in found["within"][name])
        within = math.sqrt(squares / degrees) if degrees else None
        excess = [d**2 - (within or 0.0) ** 2 * (1 / n + 1 / m) for d, n, m in found["between"][name]]
        between = math.sqrt(max(0.0, statistics.fmean(excess)) / 2) if excess else None
        durations[name] = {"within": within, "between": between, "launches": degrees, "pairs_of_runs": len(excess)}
    _fill(durations)
    families = {
        family: {
            "kind": kind,
            "limit": {name: _limit(found, family, str(name)) for name, _ in CLASSES},
            "differences": _count(found, family),
        }
        for family, kind in FAMILIES.items()
    }
    lines = sorted(found["lines"])
    dispersion = max(statistics.fmean(lines), quantile(lines, 0.95) / 3.84, quantile(lines, 0.99) / 6.63)
    return {
        "made_by": "python benchmarks/ncu/noise.py on tests/ncu_skill/reports: pairs and shapes (one H200, ncu 2025.3.1)",
        "groups_of_equal_launches": found["sides"],
        "classes": CLASSES,
        "prior_degrees": PRIOR_DEGREES,
        "duration": durations,
        "families": families,
        "line_share": {
            "overdispersion": round(dispersion, 1),
            "min_samples": 1000,
            "min_points": 5.0,
            "sigmas": 4.0,
            "differences": len(lines),
        },
    }


def _fill(durations: dict[str, Any]) -> None:
    """Round up, not below the floor; a class without data takes the floor."""
    for field, floors in FLOORS.items():
        for name, floor in floors.items():
            durations[name][field] = math.ceil(1e4 * max(floor, durations[name][field] or 0.0)) / 1e4


def _limit(found: dict[str, Any], family: str, name: str) -> float:
    if family == "exact":
        return 0.0
    own = found["families"][family, name]
    sizes = own if len(own) >= 50 else [size for other, _ in CLASSES for size in found["families"][family, other]]
    value = MARGIN * quantile(sizes, QUANTILE) if sizes else UNKNOWN
    return float(f"{max(value, MIN_LIMIT[FAMILIES[family]]):.2g}")


def _count(found: dict[str, Any], family: str) -> int:
    return sum(len(found["families"][family, name]) for name, _ in CLASSES)


def text_of(folders: list[Path]) -> str:
    return json.dumps(noise_table(gather(folders)), indent=1) + "\n"


if __name__ == "__main__":
    made = text_of([Path(item) for item in sys.argv[1:] if not item.startswith("--")])
    if "--check" in sys.argv:
        sys.exit(0 if noise.TABLE.read_text(encoding="utf-8") == made else "noise.json differs from what the reports give")
    noise.TABLE.write_text(made, encoding="utf-8")
    print(made)

"""Index of the pair corpus: writes index.json beside the reports, from the case lists and un-profiled times that collect.sh leaves.

Usage: python benchmarks/ncu/pairs/index.py FOLDER, with REPORT.cases (a case per line, in launch order) for every report, and *.times.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ncu_skill import open_report

REPEATS = 3
SERIES = (
    "shape_flat", "shape_tail", "shape_imbalance", "shape_ramp", "shape_sawtooth", "tiles", "sgemm", "onestage", "experts", "p_ragged",
    "p_shallow", "manystages", "lastwave", "histogram", "blocksum",
)  # fmt: skip


def launches(report: Path, cases: list[str]) -> list[str]:
    """The case of every launch: cases with a twin were launched three times where the count of launches says so."""
    count = len(open_report(report))
    twins = [REPEATS if case.endswith("_fixed") or f"{case}_fixed" in cases else 1 for case in cases]
    for repeats in (twins, [1] * len(cases), [REPEATS] * len(cases)):
        if sum(repeats) == count:
            return list(spread(cases, repeats))
    raise SystemExit(f"{report}: {count} launches do not fit {len(cases)} cases; was a case stopped half-way?")


def spread(cases: list[str], repeats: list[int]) -> Iterator[str]:
    for case, times in zip(cases, repeats, strict=True):
        yield from [case] * times


def main(folder: Path) -> None:
    """Write FOLDER/index.json."""
    times: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.times")):
        for line in path.read_text(encoding="utf-8").splitlines():
            case, *values = line.split()
            times[case] = [int(value) for value in values]
    found = {path.stem: launches(path, path.with_suffix(".cases").read_text(encoding="utf-8").split()) for path in folder.glob("*.ncu-rep")}
    document = {"series": SERIES, "launches": found, "unprofiled_ns": times}
    (folder / "index.json").write_text(json.dumps(document, indent=0), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Scores the diagnosis on the report corpora: top-1, location, twins, held-out cases, speed-up ranges; prints RESULTS.md.

Usage: python benchmarks/ncu/score.py > benchmarks/ncu/RESULTS.md unpacks the shipped corpora; score.py FIRST PAIRS takes two folders.
"""

from __future__ import annotations

import json
import statistics
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ncu_skill import analyses, open_report
from ncu_skill.diagnosis import Finding, diagnose
from ncu_skill.report import Kernel

HERE = Path(__file__).parent
REPORTS = HERE.parents[1] / "tests" / "ncu_skill" / "reports"
SOURCES = ("kernels.cu", "kernels_py.py", "pairs/memory.cu", "pairs/latency.cu", "pairs/compute.cu", "pairs/matrix.cu", "pairs/pairs_py.py")


@dataclass
class Case:
    """One labelled case (its first launch) and what the diagnosis said."""

    corpus: str
    name: str
    label: dict[str, Any]
    duration_ns: float
    unprofiled_ns: float | None
    findings: list[Finding]
    lines: set[int]

    @property
    def first(self) -> str:
        return self.findings[0].id if self.findings else "none"

    @property
    def held_out(self) -> bool:
        return bool(self.label.get("held_out"))

    @property
    def right(self) -> bool | None:
        return self.first in self.label["finding"] if "finding" in self.label else None

    @property
    def located(self) -> bool | None:
        if self.label.get("healthy") or not self.lines or not self.right or not self.findings[0].locations:
            return None
        return bool(self.lines & {place.line for place in self.findings[0].locations[:2]})


def planted_lines(case: str) -> set[int]:
    """Lines marked `// PLANT case` or `# PLANT case` in the sources."""
    found = set()
    for source in SOURCES:
        for number, text in enumerate((HERE / source).read_text(encoding="utf-8").splitlines(), start=1):
            if text.rstrip().endswith(f"PLANT {case}") or f"PLANT {case} " in text:
                found.add(number)
    return found


def unpacked(packed: Path, folder: Path) -> Path:
    """The files of one shipped corpus in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(packed) as tar:
        for member in tar.getmembers():  # our own archive; `filter` of extractall is not in every Python 3.10 and 3.11
            assert member.isfile() and "/" not in member.name.removeprefix("./")
            tar.extract(member, folder)
    return folder


def first_set(folder: Path) -> Iterator[tuple[str, dict[str, Any], Kernel, float | None]]:
    """(case, label, launch, un-profiled ns) of the first set: one launch a case."""
    labels = yaml.safe_load((HERE / "labels.yaml").read_text(encoding="utf-8"))
    orders = {
        "cuda": (folder / "cases.txt").read_text(encoding="utf-8").split(),
        "python": [name for name in labels if name[:2] in {"t_", "l_"}],
    }
    for report, names in orders.items():
        for name, kernel in zip(names, open_report(folder / f"{report}.ncu-rep"), strict=False):
            yield name, labels[name], kernel, None


def pair_set(folder: Path) -> Iterator[tuple[str, dict[str, Any], Kernel, float | None]]:
    """The same of the pair set: the first of the launches of each case."""
    labels = yaml.safe_load((HERE / "pairs" / "labels.yaml").read_text(encoding="utf-8"))
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for report in ("first", "second", "python"):
        seen: set[str] = set()
        for name, kernel in zip(index["launches"][report], open_report(folder / f"{report}.ncu-rep"), strict=True):
            if name not in seen:
                seen.add(name)
                yield name, labels[name], kernel, float(index["unprofiled_ns"][name][0])


def cases(first: Path, pairs: Path) -> list[Case]:
    """Every labelled case of both sets, diagnosed."""
    found = []
    for corpus, rows in (("first", first_set(first)), ("pairs", pair_set(pairs))):
        for name, label, kernel, unprofiled in rows:
            facts, samples = analyses.run(kernel)
            findings = diagnose(kernel, facts, samples)
            lines = planted_lines(label.get("plant", name))
            found.append(Case(corpus, name, label, kernel.duration_ns or 0.0, unprofiled, findings, lines))
    return found


def gains(found: list[Case]) -> list[tuple[Case, float, Finding]]:
    """(case, measured speed-up of its twin, the finding of the planted id) for every pair that does the same work."""
    by_name = {item.name: item for item in found}
    rows = []
    for twin in found:
        before = by_name.get(twin.label.get("fixes", ""))
        if before is None or twin.label.get("other_work"):
            continue
        finding = next((item for item in before.findings if item.id in before.label["finding"] and item.uncapped_speedup > 1), None)
        if finding:
            times = (before.unprofiled_ns, twin.unprofiled_ns)
            speedup = times[0] / times[1] if times[0] and times[1] else before.duration_ns / twin.duration_ns
            rows.append((before, speedup, finding))
    return rows


def kept(found: list[Case]) -> list[Case]:
    """Twins that still have the planted finding first (and no right to: `shares_bound` marks twins at the same roof)."""
    by_name = {item.name: item for item in found}
    twins = [item for item in found if item.label.get("fixes") in by_name and not item.label.get("shares_bound")]
    return [item for item in twins if item.first == by_name[item.label["fixes"]].label["finding"][0] and not item.right]


def scores(found: list[Case], title: str) -> str:
    labelled = [item for item in found if item.right is not None]
    located = [item for item in found if item.located is not None]
    twins = [item for item in found if "fixes" in item.label and not item.label.get("shares_bound")]
    return (
        f"| {title} | {sum(bool(item.right) for item in labelled)} of {len(labelled)} | {sum(bool(item.located) for item in located)} of "
        f"{len(located)} | {len(kept(found))} of {len(twins)} |"
    )


def confusion(found: list[Case]) -> list[str]:
    """Planted finding against first finding, as rows of a table."""
    counts = Counter((item.label["finding"][0], item.first) for item in found if "finding" in item.label)
    rows = ["| planted | first finding | cases |", "| --- | --- | --- |"]
    return rows + [f"| {planted} | {first} | {count} |" for (planted, first), count in sorted(counts.items())]


def report(found: list[Case]) -> str:
    """RESULTS.md: the introduction and the tables."""
    rows = [(HERE / "results_head.md").read_text(encoding="utf-8")]
    rows += ["| set | top-1 | planted line in the first two locations | twins that keep the finding |", "| --- | --- | --- | --- |"]
    rows.append(scores([item for item in found if item.corpus == "first"], "first (77 launches)"))
    rows.append(scores([item for item in found if item.corpus == "pairs" and not item.held_out], "pairs, used for tuning"))
    rows.append(scores([item for item in found if item.held_out], "pairs, held out"))
    rows += ["", "## Confusion", "", *confusion(found), "", "## Gains", "", *gain_table(found), "", "## Cases", ""]
    rows += ["| case | expected | first | second | time (us) | line |", "| --- | --- | --- | --- | --- | --- |"]
    for item in found:
        mark = "" if item.right is None else "" if item.right else " **wrong**"
        second = item.findings[1].id if len(item.findings) > 1 else ""
        line = {None: "", True: "yes", False: "**no**"}[item.located]
        held = " (held out)" if item.held_out else ""
        rows.append(
            f"| {item.name}{held} | {' / '.join(item.label.get('finding', ['any other']))} | {item.first}{mark} | {second} "
            f"| {item.duration_ns / 1e3:.1f} | {line} |"
        )
    return "\n".join(rows)


def gain_table(found: list[Case]) -> list[str]:
    pairs = gains(found)
    inside = sum(finding.speedup_low <= speedup <= finding.speedup_high for _, speedup, finding in pairs)
    capped = statistics.median(abs(1 / (1 - finding.gain) - speedup) / speedup for _, speedup, finding in pairs)
    uncapped = statistics.median(abs(finding.uncapped_speedup - speedup) / speedup for _, speedup, finding in pairs)
    rows = [f"Measured speed-up inside the stated range: {inside} of {len(pairs)}. Median relative error of the estimate: "]
    rows[-1] += f"capped {capped:.2f}, uncapped {uncapped:.2f}."
    rows += ["", "| pair | finding | measured | stated range | capped | uncapped |", "| --- | --- | --- | --- | --- | --- |"]
    for item, speedup, finding in pairs:
        rows.append(
            f"| {item.name} | {finding.id} | {speedup:.2f} | {finding.speedup_low:.2f} to {finding.speedup_high:.2f} "
            f"| {1 / (1 - finding.gain):.2f} | {finding.uncapped_speedup:.2f} |"
        )
    return rows


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(report(cases(Path(sys.argv[1]), Path(sys.argv[2]))))
    else:
        with tempfile.TemporaryDirectory() as folder:
            first = unpacked(REPORTS / "corpus.tar.xz", Path(folder) / "first")
            print(report(cases(first, unpacked(REPORTS / "pairs.tar.xz", Path(folder) / "pairs"))))

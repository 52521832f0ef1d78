"""Code changes: samples per source line (lines matched by content when the file moved) and executed instructions per opcode."""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ncu_skill.comparison import noise
from ncu_skill.comparison.model import Pair, Side
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

MAX_LINES = 20
MAX_OPCODES = 20
MAX_COUNT = 1e18
Line = tuple[str, int]


@dataclass
class Heat:
    """Where the samples of one side fall: counts per (file, line), the whole, and the main stall reason of each line."""

    counts: Counter[Line] = field(default_factory=Counter)
    stalls: dict[Line, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    total: float = 0.0
    sources: dict[str, list[str]] = field(default_factory=dict)

    def share(self, line: Line | None) -> float:
        return self.counts[line] / self.total if line is not None and self.total else 0.0

    def text(self, line: Line) -> str:
        rows = self.sources.get(line[0], [])
        return rows[line[1] - 1].strip() if 0 < line[1] <= len(rows) else ""

    def stall(self, line: Line | None) -> str:
        return self.stalls[line].most_common(1)[0][0] if line in self.stalls and line is not None else ""


@dataclass(frozen=True)
class LineChange:
    """One source line on both sides. Shares are of all samples (0 to 1); `sigma` is the deviation of their difference."""

    base: Line | None
    candidate: Line | None
    text: str
    matched_by: str
    base_share: float
    candidate_share: float
    sigma: float
    base_stall: str
    candidate_stall: str
    status: str

    @property
    def changed(self) -> bool:
        return self.status in {"hotter", "cooler", "gone", "new"}


@dataclass(frozen=True)
class OpcodeChange:
    """Executed warp instructions of one opcode."""

    opcode: str
    base: float
    candidate: float


def heat(side: Side) -> Heat:
    """Samples of all analysed launches by the user's own line."""
    found = Heat()
    for kernel, _, samples in side.analysed:
        _add(found, kernel, samples)
        if not found.sources:
            found.sources = {path: text.splitlines() for path, text in kernel.source_files.items()}
    return found


def _add(found: Heat, kernel: Kernel, samples: Samples) -> None:
    for reason, values in samples.by_stall.items():
        for pc, count in values.items():
            if not 0 <= count < MAX_COUNT:  # a damaged report
                continue
            inner = kernel.innermost(pc)
            place = inner.own if inner else None
            found.total += count
            if place is not None:
                line = (place.file, place.line)
                found.counts[line] += int(count)
                found.stalls[line][reason] += int(count)


def lines(pair: Pair) -> list[LineChange]:
    """Every line that is hot on one of the sides, the largest difference first; empty without samples or line information."""
    base, candidate = heat(pair.base), heat(pair.candidate)
    if not base.counts or not candidate.counts:
        return []
    partner, matched_by = _partners(base, candidate)
    back = {theirs: ours for ours, theirs in partner.items()}
    keys: list[tuple[Line | None, Line | None]] = [(line, partner.get(line)) for line in base.counts]
    keys += [(None, line) for line in candidate.counts if line not in back]
    rows = [_line_change(base, candidate, ours, theirs, matched_by) for ours, theirs in keys]
    rows.sort(key=lambda row: (not row.changed, -abs(row.candidate_share - row.base_share), -row.base_share))
    return rows[:MAX_LINES]


def _line_change(base: Heat, candidate: Heat, ours: Line | None, theirs: Line | None, matched_by: str) -> LineChange:
    before, after = base.share(ours), candidate.share(theirs)
    sigma = math.hypot(_sigma(before, base.total), _sigma(after, candidate.total))
    return LineChange(
        base=ours,
        candidate=theirs,
        text=base.text(ours) if ours else candidate.text(theirs) if theirs else "",
        matched_by=matched_by if ours and theirs else "none",
        base_share=before,
        candidate_share=after,
        sigma=sigma,
        base_stall=base.stall(ours),
        candidate_stall=candidate.stall(theirs),
        status=_status(base, candidate, ours, theirs, sigma),
    )


def _sigma(share: float, total: float) -> float:
    """Deviation of a share: binomial, times the root of the over-dispersion that replicates of the corpus show."""
    return math.sqrt(float(noise.table()["line_share"]["overdispersion"]) * share * (1 - share) / total) if total else 1.0


def _status(base: Heat, candidate: Heat, ours: Line | None, theirs: Line | None, sigma: float) -> str:
    """A change needs at least 1,000 samples on both sides and a difference of at least 5 points and four deviations."""
    rule = noise.table()["line_share"]
    if min(base.total, candidate.total) < rule["min_samples"]:
        return "cannot tell"
    difference = candidate.share(theirs) - base.share(ours)
    if abs(difference) < max(rule["min_points"] / 100, rule["sigmas"] * sigma):
        return "same"
    if ours is None:
        return "new"
    if theirs is None:
        return "gone"
    return "hotter" if difference > 0 else "cooler"


def _partners(base: Heat, candidate: Heat) -> tuple[dict[Line, Line], str]:
    """Lines of base with their line in candidate: by content where both reports embed the source, else by file name and number."""
    found: dict[Line, Line] = {}
    by_content = False
    for path in {line[0] for line in base.counts}:
        other = _file(path, {line[0] for line in candidate.counts})
        if other is None:
            continue
        numbers = None
        if path in base.sources and other in candidate.sources:
            numbers = _line_map(base.sources[path], candidate.sources[other])
            by_content = True
        for _, number in [line for line in base.counts if line[0] == path]:
            target = numbers.get(number) if numbers is not None else number
            if target is not None:
                found[path, number] = (other, target)
    return found, "content" if by_content else "number"


def _file(path: str, others: set[str]) -> str | None:
    """The same path, else the only file of the same name, else the only file there is."""
    if path in others:
        return path
    named = [other for other in others if PurePosixPath(other).name == PurePosixPath(path).name]
    if len(named) == 1:
        return named[0]
    return next(iter(others)) if len(others) == 1 else None


def _line_map(ours: list[str], theirs: list[str]) -> dict[int, int]:
    """{line of base: line of candidate} for lines of equal content, blanks aside."""
    first, second = [line.strip() for line in ours], [line.strip() for line in theirs]
    if first == second:
        return {number: number for number in range(1, len(first) + 1)}
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    return {block.a + step + 1: block.b + step + 1 for block in matcher.get_matching_blocks() for step in range(block.size)}


def opcodes(pair: Pair) -> list[OpcodeChange]:
    """Opcodes whose executed count differs by more than noise, the largest difference first."""
    base, candidate = _executed(pair.base), _executed(pair.candidate)
    limit = noise.limit("executed", [], [], min(pair.base.duration_ns or 0.0, pair.candidate.duration_ns or 0.0))
    total = max(sum(base.values()), sum(candidate.values()), 1.0)
    rows = []
    for opcode in sorted({*base, *candidate}):
        before, after = base.get(opcode, 0.0), candidate.get(opcode, 0.0)
        if noise.difference("executed", before, after) > limit and abs(after - before) > 0.001 * total:
            rows.append(OpcodeChange(opcode, before, after))
    return sorted(rows, key=lambda row: -abs(row.candidate - row.base))[:MAX_OPCODES]


def _executed(side: Side) -> dict[str, float]:
    values, names = side.median.instances("sass__inst_executed_per_opcode")
    return {str(name): float(value) for name, value in zip(names, values, strict=True) if isinstance(value, int | float)}

"""Findings of both sides: which the candidate resolved, which remain, which are new, by a vote over the replicates."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ncu_skill.comparison.model import Pair, Side
from ncu_skill.diagnosis import MIN_GAIN, Finding, diagnose, playbook

ALL = 50
LEFT = 0.25


@dataclass(frozen=True)
class Movement:
    """Finding ids by what became of them; of the `diminished` ones, which are resolved too, a much weaker form is left."""

    resolved: list[str]
    remaining: list[str]
    new: list[str]
    diminished: list[str]


def movement(pair: Pair) -> Movement:
    """Compare the findings that most replicates of each side show.

    A cause counts as resolved, too, when the time it costs fell below a quarter; what is left of it is then named in `diminished`. A
    finding is new when it is worth acting on, or is the first one.
    """
    base, candidate = voted(pair.base), voted(pair.candidate)
    first = {side[0].id for side in (base, candidate) if side}
    before = {finding.id: finding for finding in base}
    after = {finding.id: finding for finding in candidate}
    ratio = (pair.candidate.duration_ns or 1.0) / (pair.base.duration_ns or 1.0)
    diminished = [
        name for name, finding in before.items() if name in after and _is_cause(name) and ratio * after[name].gain < LEFT * finding.gain
    ]
    return Movement(
        resolved=[name for name in before if name not in after or name in diminished],
        remaining=[name for name in before if name in after and name not in diminished],
        new=[name for name in after if name not in before and (name in first or not _is_cause(name) or after[name].gain >= MIN_GAIN)],
        diminished=diminished,
    )


def voted(side: Side) -> list[Finding]:
    """Findings that at least half of the analysed launches show, as the median launch ranks them."""
    seen: dict[str, list[Finding]] = defaultdict(list)
    for kernel, facts, samples in side.analysed:
        for finding in diagnose(kernel, facts, samples, ALL):
            seen[finding.id].append(finding)
    kept = [found[0] for found in seen.values() if 2 * len(found) >= len(side.analysed)]
    return sorted(kept, key=lambda finding: finding.rank)


def _is_cause(name: str) -> bool:
    return playbook()[name].kind == "cause"

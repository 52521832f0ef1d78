"""Diagnosis: the playbook applied to the facts of one launch; findings ranked by capped gain, de-duplicated by cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ncu_skill import expressions
from ncu_skill.analyses.speed_of_light import next_busiest
from ncu_skill.data import table
from ncu_skill.facts import Fact, Facts, catalog, sections_missing
from ncu_skill.locate import Location, locate
from ncu_skill.model import Confidence
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

MAX_FINDINGS = 5
CEILING = 0.90  # no unit sustains more in practice
MIN_GAIN = 0.10  # part of run time below which a cause ranks behind the roof
ROOF = 80.0


@dataclass(frozen=True)
class Fix:
    """One thing to do, with the wiki pages that tell how."""

    text: str
    wiki: tuple[str, ...] = ()


@dataclass(frozen=True)
class Play:
    """One entry of the playbook."""

    id: str
    kind: str
    title: str
    when: tuple[str, ...]
    evidence: tuple[str, ...]
    where: str
    falsifier: str
    fixes: tuple[Fix, ...]
    symptoms: tuple[str, ...]
    source: str
    share: str = "0"
    level: str = "0"
    relieves: frozenset[str] = frozenset()
    explains: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    weight: float = 1.0
    first: bool = False
    gainless: bool = False


@dataclass(frozen=True)
class Evidence:
    """One fact behind a finding, with the condition that it met."""

    metric: str
    value: float
    unit: str
    threshold: str = ""


@dataclass(frozen=True)
class Finding:
    """One diagnosis: gain is the part of run time that can go, capped by the next bound."""

    id: str
    title: str
    rank: int
    confidence: Confidence
    evidence: tuple[Evidence, ...]
    speedup_low: float
    speedup_high: float
    gain: float
    uncapped_speedup: float
    locations: tuple[Location, ...]
    fixes: tuple[Fix, ...]
    symptoms: tuple[str, ...]
    falsifier: str


@dataclass
class _Candidate:
    play: Play
    gain: float = 0.0
    uncapped: float = 0.0
    level: float = 0.0
    hidden_by: list[str] = field(default_factory=list)


@cache
def playbook() -> dict[str, Play]:
    """Every entry of playbook.yaml by finding id."""
    return {name: _play(name, row) for name, row in table("playbook").items()}


def _play(name: str, row: dict[str, Any]) -> Play:
    values = dict(row)
    for key in ("when", "evidence", "symptoms", "needs"):
        values[key] = tuple(row.get(key, ()))
    for key in ("relieves", "explains"):
        values[key] = frozenset(row.get(key, ()))
    values["fixes"] = tuple(Fix(item["text"], tuple(item["wiki"])) for item in row["fixes"])
    return Play(id=name, **values)


def diagnose(kernel: Kernel, facts: Facts, samples: Samples, limit: int = MAX_FINDINGS) -> list[Finding]:
    """Ranked findings of one launch, the diagnosis first."""
    candidates = [_candidate(play, facts) for play in playbook().values() if _holds(play, facts)]
    kept = _without_explained(candidates)
    kept.sort(key=_order)
    return [_finding(candidate, rank, kernel, facts, samples) for rank, candidate in enumerate(kept[:limit], start=1)]


def _holds(play: Play, facts: Facts) -> bool:
    return all(key in facts for key in play.needs) and all(expressions.holds(condition, facts) for condition in play.when)


def _candidate(play: Play, facts: Facts) -> _Candidate:
    level = expressions.evaluate(play.level, facts)
    share = min(0.97, max(0.0, expressions.evaluate(play.share, facts)))
    room = max(0.0, 1 - next_busiest(facts, play.relieves) / CEILING)
    return _Candidate(play, gain=share if play.first else min(share, room), uncapped=share, level=level)


def _without_explained(candidates: list[_Candidate]) -> list[_Candidate]:
    """Drop what a kept cause explains; the strongest cause decides first. A bound stays unless the cause is worth acting on."""
    kept: list[_Candidate] = []
    hidden: set[str] = set()
    for candidate in sorted(candidates, key=_order):
        if candidate.play.id in hidden or ("*" in hidden and candidate.play.kind == "cause"):
            continue
        kept.append(candidate)
        if candidate.play.kind == "cause" and candidate.gain >= MIN_GAIN:
            hidden |= candidate.play.explains
    return kept


def _order(candidate: _Candidate) -> tuple[int, float]:
    """Causes worth acting on by gain (weighed down where the cause is a generic one), then bounds by level, then the rest."""
    if candidate.play.first:
        return (0, -candidate.gain)
    if candidate.play.kind == "bound":
        return (2, -candidate.level)
    return (1 if candidate.gain >= MIN_GAIN else 3, -candidate.gain * candidate.play.weight)


def _finding(candidate: _Candidate, rank: int, kernel: Kernel, facts: Facts, samples: Samples) -> Finding:
    play = candidate.play
    low, high = _range(candidate)
    return Finding(
        id=play.id,
        title=play.title,
        rank=rank,
        confidence=_confidence(candidate, facts),
        evidence=tuple(_evidence(play, key, facts[key]) for key in play.evidence if key in facts),
        speedup_low=low,
        speedup_high=high,
        gain=candidate.gain,
        uncapped_speedup=round(1 / (1 - candidate.uncapped), 2),
        locations=tuple(locate(play.where, kernel, samples)),
        fixes=play.fixes,
        symptoms=play.symptoms,
        falsifier=play.falsifier,
    )


def _range(candidate: _Candidate) -> tuple[float, float]:
    """Speedup range: from 0.4 of the capped gain to a little more than all of it; measured on the pairs in benchmarks/ncu."""
    gain = 0.0 if candidate.play.gainless else candidate.gain
    return round(1 / (1 - 0.4 * gain), 2), round(min((1 / (1 - gain)) ** 1.35, 99.0), 2)


def _confidence(candidate: _Candidate, facts: Facts) -> Confidence:
    if candidate.play.kind == "bound":
        return "high" if candidate.level >= ROOF else "medium" if candidate.level >= 60 else "low"
    if candidate.gain >= 0.3:
        return "high" if "samples" in facts or candidate.play.where == "none" else "medium"
    return "medium" if candidate.gain >= MIN_GAIN else "low"


def _evidence(play: Play, key: str, fact: Fact) -> Evidence:
    condition = next((text for text in play.when if key in expressions.names(text)), "")
    name = fact.origin if key in catalog() else key
    return Evidence(name, round(fact.value, 4), fact.unit, condition)


def not_collected(kernel: Kernel, facts: Facts) -> list[str]:
    """Sections whose absence left parts of the playbook untested."""
    wanted = {name for play in playbook().values() for text in play.when for name in expressions.names(text)}
    missing = [key for key in wanted if key in catalog() and key not in facts]
    sections = sections_missing(kernel, missing)
    if not facts.get("samples") and "SourceCounters" not in kernel.section_ids:
        sections.append("SourceCounters")
    return sorted(set(sections))

"""Diagnosis: the playbook applied to the facts of one launch; findings ranked by capped gain, de-duplicated by cause."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from ncu_skill import expressions
from ncu_skill.analyses.speed_of_light import next_bound
from ncu_skill.data import table
from ncu_skill.facts import Fact, Facts, catalog, sections_missing
from ncu_skill.locate import Location, locate
from ncu_skill.model import Confidence
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

MAX_FINDINGS = 5
MAX_CLAIM = 0.99
MIN_NEAREST = 25.0  # percent below which nothing is said
LOW, HIGH, MAX_SPEEDUP = 0.5, 2.0, 99.0  # the stated range around the estimate
MIN_GAIN = 0.10  # part of run time below which a cause ranks behind the roof
ROOF = 80.0


class Fix(NamedTuple):
    """One thing to do, with the wiki pages that tell how."""

    text: str
    wiki: tuple[str, ...] = ()


class Play(NamedTuple):
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
    keeps: dict[str, str]
    share: str = "0"
    claim: str = "0"
    otherwise: str = "0"
    level: str = "0"
    relieves: frozenset[str] = frozenset()
    explains: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    weight: float = 1.0
    first: bool = False
    gainless: bool = False


class Evidence(NamedTuple):
    """One fact behind a finding, with the condition that it met."""

    metric: str
    value: float
    unit: str
    threshold: str = ""


class Finding(NamedTuple):
    """One diagnosis: gain is the part of run time that can go, capped by the next bound; uncapped_speedup ignores that bound."""

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


class _Candidate(NamedTuple):
    play: Play
    share: float = 0.0
    gain: float = 0.0
    uncapped: float = 0.0
    level: float = 0.0


@cache
def playbook() -> dict[str, Play]:
    """Every entry of playbook.yaml by finding id."""
    return {name: _play(name, row) for name, row in table("playbook").items()}


def _play(name: str, row: dict[str, Any]) -> Play:
    values = dict(row)
    for key in ("when", "evidence", "symptoms", "needs"):
        values[key] = tuple(row.get(key, ()))
    values["keeps"] = {unit: str(text) for unit, text in row.get("keeps", {}).items()}
    for key in ("relieves", "explains"):
        values[key] = frozenset(row.get(key, ()))
    values["fixes"] = tuple(Fix(item["text"], tuple(item["wiki"])) for item in row["fixes"])
    return Play(id=name, **values)


def diagnose(kernel: Kernel, facts: Facts, samples: Samples, limit: int = MAX_FINDINGS) -> list[Finding]:
    """Ranked findings of one launch, the diagnosis first."""
    candidates = [_candidate(play, facts) for play in playbook().values() if _holds(play, facts)]
    kept = _without_explained(candidates) or _nearest(facts)
    kept.sort(key=_order)
    return [_finding(candidate, rank, kernel, facts, samples) for rank, candidate in enumerate(kept[:limit], start=1)]


def _holds(play: Play, facts: Facts) -> bool:
    return all(key in facts for key in play.needs) and all(expressions.holds(condition, facts) for condition in play.when)


def _candidate(play: Play, facts: Facts) -> _Candidate:
    level = expressions.evaluate(play.level, facts)
    share, claim = (min(MAX_CLAIM, max(0.0, expressions.evaluate(text, facts))) for text in (play.share, play.claim))
    keeps = dict.fromkeys(play.relieves, 0.0) | {unit: expressions.evaluate(text, facts) for unit, text in play.keeps.items()}
    gain = claim if play.first else min(claim, 1 - 1 / next_bound(facts, keeps))
    return _Candidate(play, share=min(share, gain), gain=gain, uncapped=claim, level=level)


def _nearest(facts: Facts) -> list[_Candidate]:
    """Where no finding holds: the one whose unit or stall is highest, so that the answer is the least wrong one, at low confidence."""
    ranked = sorted(((expressions.evaluate(play.otherwise, facts), play) for play in playbook().values()), key=lambda row: -row[0])
    return [_Candidate(ranked[0][1])] if ranked and ranked[0][0] > MIN_NEAREST else []


def _without_explained(candidates: list[_Candidate]) -> list[_Candidate]:
    """Drop what a kept cause explains; the strongest cause decides first. A bound stays unless the cause is worth acting on."""
    kept: list[_Candidate] = []
    hidden: set[str] = set()
    for candidate in sorted(candidates, key=_order):
        if candidate.play.id in hidden or ("*" in hidden and candidate.play.kind == "cause"):
            continue
        kept.append(candidate)
        if candidate.play.kind == "cause" and candidate.share >= MIN_GAIN:
            hidden |= candidate.play.explains
    return kept


def _order(candidate: _Candidate) -> tuple[int, float]:
    """Causes worth acting on by gain (weighed down where the cause is a generic one), then bounds by level, then the rest."""
    if candidate.play.first:
        return (0, -candidate.gain)
    if candidate.play.kind == "bound":
        return (2, -candidate.level)
    return (1 if candidate.share >= MIN_GAIN else 3, -candidate.share * candidate.play.weight)


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
    """Speedup range: half to twice of what the capped estimate adds; measured on the pairs in benchmarks/ncu."""
    added = 0.0 if candidate.play.gainless else 1 / (1 - candidate.gain) - 1
    return round(1 + LOW * added, 2), round(min(1 + HIGH * added, MAX_SPEEDUP), 2)


def _confidence(candidate: _Candidate, facts: Facts) -> Confidence:
    if not candidate.level and not candidate.share:
        return "low"
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
    if not any(key.startswith("stall_") for key, _ in facts.items()) and "WarpStateStats" not in kernel.section_ids:
        sections.append("WarpStateStats")
    return sorted(set(sections))

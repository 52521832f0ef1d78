"""Selection: decides from title and changed paths whether a pull request becomes a record, and says why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

Decision = Literal["include", "defer", "exclude"]


@dataclass(frozen=True)
class Selection:
    """What the policy decided about one pull request: its score and the rules that gave it."""

    decision: Decision
    score: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """One line of the policy file."""

    id: str
    pattern: re.Pattern[str]
    points: int = 0
    unless: re.Pattern[str] | None = None

    def matches(self, text: str) -> bool:
        return bool(self.pattern.search(text)) and not (self.unless and self.unless.search(text))


@dataclass(frozen=True)
class Policy:
    """The rules of `policy.yaml`, compiled."""

    include_at: int
    defer_at: int
    paths: tuple[Rule, ...]
    title: tuple[Rule, ...]
    never_alone: tuple[Rule, ...]
    kernel_repositories: frozenset[str]
    kernel_repository_points: int
    base_points: int = 0
    base_reason: str = ""

    def select(self, repo: str, title: str, paths: Sequence[str]) -> Selection:
        """Score one pull request of `repo` ("owner/name"); ties and order of `paths` do not matter."""
        for rule in self.never_alone:
            if paths and all(rule.matches(path) for path in paths):
                return Selection("exclude", 0, (f"only {rule.id}",))
        score, reasons = 0, []
        if repo in self.kernel_repositories:
            score += self.kernel_repository_points
            reasons.append(f"kernel-repository +{self.kernel_repository_points}")
        elif self.base_points:
            score += self.base_points
            reasons.append(f"{self.base_reason} +{self.base_points}")
        best = self._best_path_rule(paths)
        if best:
            score += best.points
            reasons.append(f"path:{best.id} +{best.points}")
        for rule in self.title:
            if rule.matches(title):
                score += rule.points
                reasons.append(f"title:{rule.id} {rule.points:+d}")
        decision: Decision = "include" if score >= self.include_at else "defer" if score >= self.defer_at else "exclude"
        return Selection(decision, score, tuple(reasons))

    def best_possible(self, repo: str, title: str) -> Selection:
        """What the most favourable paths would make of `title`: when that does not include it, no list of files is needed."""
        known = self.select(repo, title, ())
        score = known.score + max((rule.points for rule in self.paths), default=0)
        return Selection("include" if score >= self.include_at else known.decision, known.score, known.reasons)

    def path_points(self, path: str) -> int:
        """Points of the best rule that matches `path`, 0 for none."""
        best = self._best_path_rule([path])
        return best.points if best else 0

    def _best_path_rule(self, paths: Sequence[str]) -> Rule | None:
        hits = [rule for rule in self.paths if any(rule.matches(path) for path in paths)]
        return max(hits, key=lambda rule: rule.points, default=None)


def rules(rows: Sequence[Mapping[str, Any]], flags: int = 0) -> tuple[Rule, ...]:
    """Rules of a data file, compiled."""
    return tuple(
        Rule(
            id=row["id"],
            pattern=re.compile(row["pattern"], flags),
            points=row.get("points", 0),
            unless=re.compile(row["unless"]) if "unless" in row else None,
        )
        for row in rows
    )


@cache
def default_policy() -> Policy:
    """The policy that made the shipped records (`ingest/policy.yaml`)."""
    text = resources.files("ingest").joinpath("policy.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    return Policy(
        include_at=data["include_at"],
        defer_at=data["defer_at"],
        paths=rules(data["paths"]),
        title=rules(data["title"], re.IGNORECASE),
        never_alone=rules(data["never_alone"]),
        kernel_repositories=frozenset(data["kernel_repositories"]),
        kernel_repository_points=data["kernel_repository_points"],
    )

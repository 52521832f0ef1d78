"""Recipes: what is known about a repository, from `recipes.yaml`: title forms, branch rule, kernel paths. Unknown ones get the default."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import yaml

from ingest.select import Policy, default_policy, rules


@dataclass(frozen=True)
class NumberForm:
    """One way in which a commit message names its pull request."""

    via: str
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Recipe:
    """How to read one repository."""

    repo: str
    subject: tuple[NumberForm, ...]
    body: tuple[NumberForm, ...]
    first_parent: bool
    policy: Policy
    note: str

    def number(self, message: str) -> tuple[int, str] | None:
        """(pull request number, how it was found) of a commit message, or None."""
        subject, _, body = message.partition("\n")
        for forms, text in ((self.subject, subject), (self.body, body)):
            for form in forms:
                match = form.pattern.search(text)
                if match and int(match.group(1)):
                    return int(match.group(1)), form.via
        return None


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(resources.files("ingest").joinpath("recipes.yaml").read_text(encoding="utf-8"))
    return data


@cache
def recipe(repo: str) -> Recipe:
    """The recipe of `repo` ("owner/name")."""
    data = _data()
    entry = {**data["default"], **data["repositories"].get(repo, {})}
    return Recipe(
        repo=repo,
        subject=_forms(entry["subject"], repo),
        body=_forms(entry["body"], repo),
        first_parent=entry["first_parent"],
        policy=_policy(repo, entry, repo in data["engines"]),
        note=entry["note"],
    )


def _forms(rows: list[dict[str, str]], repo: str) -> tuple[NumberForm, ...]:
    return tuple(NumberForm(row["via"], re.compile(row["pattern"].replace("{repo}", re.escape(repo)), re.MULTILINE)) for row in rows)


def _policy(repo: str, entry: dict[str, Any], engine: bool) -> Policy:
    """The shared policy with the recipe's paths before its own; base points where the whole repository is about kernels."""
    policy = default_policy()
    known = repo in policy.kernel_repositories
    base = 0 if engine or known else entry["base_points"]
    return replace(policy, paths=(*rules(entry["paths"]), *policy.paths), base_points=base, base_reason=entry["base_reason"])

"""Evidence: names in the added lines of a diff (instructions, interfaces, architectures, types, shapes, functions), with file and line.

Deterministic: the same patch gives the same evidence in the same order. Only names leave the diff, never a line of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby, islice
from typing import Any

import yaml

from ingest.diffs import AddedLine, added_lines
from kernelwiki.model import Evidence


@dataclass(frozen=True)
class Pattern:
    """One line of `evidence.yaml`: where it applies and how the name found is written."""

    kind: str
    regex: re.Pattern[str]
    name: str = "{}"
    lower: bool = False
    only: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    hint: tuple[str, ...] = ()

    def may_match(self, text: str) -> bool:
        """Whether `text` holds one of the words that every match contains one of: a quick look before lines are read one by one."""
        return not self.hint or any(word in text for word in self.hint)

    def applies_to(self, path: str) -> bool:
        return not (self.only and not self.only.search(path)) and not (self.unless and self.unless.search(path))

    def names(self, text: str) -> list[str]:
        found = []
        for match in self.regex.finditer(text):
            name = match.group(1) if match.re.groups else match.group(0)
            found.append(self.name.format(name.lower() if self.lower else name))
        return found


_BLOCK = 24

# A line that is nothing but a comment (C, C++ or Python), preprocessor directives aside.
_COMMENT = re.compile(r"^\s*(?://|\*|/\*|#(?!\s*(?:if|elif|ifdef|ifndef|define|include|pragma)))")


@dataclass(frozen=True)
class Extractor:
    """The patterns and limits of `evidence.yaml`, compiled."""

    patterns: tuple[Pattern, ...]
    limit: int
    limit_per_kind: Mapping[str, int]
    longest_name: int
    longest_line: int
    ignore: frozenset[str]
    dtypes: Mapping[str, str]
    symbol: re.Pattern[str]
    symbol_ignore: re.Pattern[str]

    def extract(self, patch: str) -> list[Evidence]:
        """Evidence of one pull request's diff: each (kind, name) once, at its first added line.

        Full records keep the kinds in the order of `limit_per_kind`; within a kind the order is that of the diff,
        for symbols the number of uses in it.
        """
        found: dict[tuple[str, str], AddedLine] = {}
        symbols: dict[str, AddedLine] = {}
        uses: Counter[str] = Counter()
        for path, run in groupby(added_lines(patch), key=lambda added: added.path):
            applying = [pattern for pattern in self.patterns if pattern.applies_to(path)]
            for lines in _blocks(added for added in run if len(added.text) <= self.longest_line):
                text = "\n".join(added.text for added in lines)
                patterns = [pattern for pattern in applying if pattern.may_match(text)]
                for added in lines:
                    self._read(added, patterns, found)
                    for name in self.symbol.findall(added.text):
                        uses[name] += 1
                        symbols.setdefault(name, added)
        named = {name for _, name in found}
        for name, _ in uses.most_common():
            if name not in named and len(name) <= self.longest_name and not self.symbol_ignore.match(name):
                found[("symbol", name)] = symbols[name]
        return self._limited(found)

    def _read(self, added: AddedLine, patterns: Sequence[Pattern], found: dict[tuple[str, str], AddedLine]) -> None:
        """Names that `patterns` find in one line, into `found`."""
        comment = bool(_COMMENT.match(added.text))
        for pattern in patterns:
            if comment and pattern.kind == "arch":
                continue  # A remark about an architecture is no support for it.
            for name in pattern.names(added.text):
                clean = self._clean(pattern.kind, name)
                if clean:
                    found.setdefault((pattern.kind, clean), added)

    def _clean(self, kind: str, name: str) -> str | None:
        name = re.sub(r"\s+|cute::(?=Int)", "", name).strip(".:")
        if kind == "dtype":
            name = self.dtypes.get(name, name.lower())
        if not name or name in self.ignore or len(name) > self.longest_name or not name.isprintable():
            return None
        return name

    def _limited(self, found: Mapping[tuple[str, str], AddedLine]) -> list[Evidence]:
        kept: Counter[str] = Counter()
        order = {kind: position for position, kind in enumerate(self.limit_per_kind)}
        items = sorted(found.items(), key=lambda item: order[item[0][0]])
        evidence: list[Evidence] = []
        for (kind, name), added in items:
            if kept[kind] < self.limit_per_kind[kind] and len(evidence) < self.limit:
                kept[kind] += 1
                evidence.append(Evidence(kind=kind, name=name, path=added.path, line=added.line))
        return evidence


def _blocks(lines: Iterator[AddedLine]) -> Iterator[list[AddedLine]]:
    """A few lines at a time, so that one quick look rules most patterns out for all of them."""
    while block := list(islice(lines, _BLOCK)):
        yield block


def first_hunks(patch: str, limit: int) -> list[Evidence]:
    """Where each file of `patch` begins to change: its first hunk that adds a line, at that line; at most `limit` files."""
    found: dict[str, Evidence] = {}
    for added in added_lines(patch):
        if added.path not in found:
            if len(found) == limit:
                break
            found[added.path] = Evidence("hunk", added.hunk, added.path, added.line)
    return list(found.values())


_TITLE_ARCHS = (
    (re.compile(r"\bsm_?(70|75|80|86|87|89|90|100|103|110|120|121)[af]?\b", re.I), "sm{}"),
    (re.compile(r"\b(gfx9(?:0a|4[0-2]|50)|gfx1[12]\d\d)\b", re.I), "{}"),
    (re.compile(r"\bA100\b"), "sm80"),
    (re.compile(r"\b(?:H100|H200|H20|GH200|Hopper)\b", re.I), "sm90"),
    (re.compile(r"\b(?:B200|GB200)\b", re.I), "sm100"),
    (re.compile(r"\b(?:B300|GB300)\b", re.I), "sm103"),
    (re.compile(r"\b(?:RTX ?50[5-9]0|RTX PRO 6000|5090)\b", re.I), "sm120"),
    (re.compile(r"\b(?:DGX Spark|GB10)\b", re.I), "sm121"),
    (re.compile(r"\bMI30[08]X?\b", re.I), "gfx942"),
    (re.compile(r"\bMI35[05]X?\b", re.I), "gfx950"),
)


def title_archs(title: str) -> list[Evidence]:
    """Architectures that a title names outright. "Blackwell" alone names two families and gives none."""
    names: dict[str, None] = {}
    for regex, form in _TITLE_ARCHS:
        for match in regex.finditer(title):
            names.setdefault(form.format(match.group(1).lower() if regex.groups else ""))
    return [Evidence(kind="arch", name=name) for name in names]


_PATH_ARCH = re.compile(r"(?:^|[/_.-])sm_?(70|75|80|86|87|89|90|100|103|110|120|121)[af]?(?=$|[/_.-])", re.I)


def path_archs(paths: list[str]) -> list[Evidence]:
    """Architectures that a changed path names (`.../sm100_fmha.hpp`), each at its first path."""
    found: dict[str, str] = {}
    for path in paths:
        for match in _PATH_ARCH.finditer(path):
            found.setdefault(f"sm{match.group(1)}", path)
    return [Evidence(kind="arch", name=name, path=path) for name, path in found.items()]


@cache
def default_extractor() -> Extractor:
    """The extractor that made the shipped records (`ingest/evidence.yaml`)."""
    data: dict[str, Any] = yaml.safe_load(resources.files("ingest").joinpath("evidence.yaml").read_text(encoding="utf-8"))
    patterns = tuple(
        Pattern(
            kind=row["kind"],
            regex=re.compile(row["pattern"]),
            name=row.get("name", "{}"),
            lower=row.get("lower", False),
            only=re.compile(row["only"]) if "only" in row else None,
            unless=re.compile(row["unless"]) if "unless" in row else None,
            hint=tuple(row.get("hint", ())),
        )
        for row in data["patterns"]
    )
    return Extractor(
        patterns=patterns,
        limit=data["limit"],
        limit_per_kind=data["limit_per_kind"],
        longest_name=data["longest_name"],
        longest_line=data["longest_line"],
        ignore=frozenset(data["ignore"]),
        dtypes=data["dtypes"],
        symbol=re.compile(data["symbol"]),
        symbol_ignore=re.compile(data["symbol_ignore"]),
    )

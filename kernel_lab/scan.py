"""Static scan: reads a candidate's sources for what no kernel has an honest use for (fail) and what a person has to look at (review)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kernel_lab.solution import Solution

PYTHON, NATIVE = {".py"}, {".cu", ".cuh", ".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".inl"}
TEXTS = {".md", ".txt", ".toml", ".json", ".yaml"}
BINARIES = {".so", ".pyc", ".pyd", ".pth", ".o", ".a", ".zip", ".egg", ".cubin", ".fatbin"}


@dataclass(frozen=True)
class Mark:
    """One place in a source. `tier` is hard, review or library."""

    tier: str
    path: str
    line: int
    what: str
    why: str

    def data(self) -> dict[str, Any]:
        return dict(self.__dict__)


@cache
def rules() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("scan_rules.yaml").read_text(encoding="utf-8"))
    return found


@cache
def words(name: str) -> frozenset[str]:
    """One of the rules' lists of names."""
    return frozenset(rules()["words"][name])


def scan(solution: Solution, float_only_32: bool = False, scalars: frozenset[int] = frozenset()) -> list[Mark]:
    """Every mark in every source, hard ones first.

    `float_only_32`: all floats of the definition are 32 bits or wider; `scalars`: places of the entry's arguments that are no tensors.
    """
    from kernel_lab.scan_native import scan_native
    from kernel_lab.scan_python import scan_python

    found: list[Mark] = []
    for path, text in solution.sources.items():
        suffix = Path(path).suffix
        found += _texts(path, text)
        if suffix in PYTHON:
            found += scan_python(path, text, solution, float_only_32, scalars)
        elif suffix in NATIVE:
            found += scan_native(path, text)
        elif suffix not in TEXTS:
            tier = "hard" if suffix in BINARIES else "review"
            found.append(Mark(tier, path, 1, f"a file {suffix or 'without a suffix'}", "not a source that the scan can read"))
    if solution.language == "tilelang":
        found.append(Mark("review", solution.entry[0], 1, "tilelang", "the scan does not know this language"))
    order = {"hard": 0, "review": 1, "library": 2}
    return sorted(dict.fromkeys(found), key=lambda mark: (order[mark.tier], mark.path, mark.line))


def _texts(path: str, text: str) -> list[Mark]:
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines[:2], 1):
        cookie = re.match(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", line)
        if cookie and path.endswith(".py") and cookie[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
            found.append(Mark("hard", path, number, cookie[0][:60], "an encoding under which the text runs otherwise than it reads"))
    for number, line in enumerate(lines, 1):
        if any(ord(char) < 32 and char not in "\t\f" for char in line):
            found.append(Mark("review", path, number, "control characters", "text that does not show"))
        if re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", line):
            found.append(Mark("hard", path, number, "invisible or turning characters", "text that reads otherwise than it runs"))
        if len(line) > 2000:
            found.append(Mark("review", path, number, f"a line of {len(line)} characters", "data or code that is hidden in one line"))
        for tier in ("hard", "review"):
            for pattern in rules()["text"][tier]:
                match = re.search(pattern, line)
                if match:
                    why = "speaks to the judge" if tier == "hard" else "names the judge, the scorer or a reference"
                    found.append(Mark(tier, path, number, match.group(0)[:60], why))
    # A sentence may be broken over comment lines.
    joined = re.sub(r"\s*\n\s*(#|//|\*)?\s*", " ", text)
    for pattern in rules()["text"]["hard"]:
        match = re.search(pattern, joined)
        if match and not any(re.search(pattern, line) for line in lines):
            found.append(Mark("hard", path, 1, match.group(0)[:60], "speaks to the judge"))
    return found

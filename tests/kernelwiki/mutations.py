"""Single-fact corruptions of pages and summaries, drawn with a seed: what the grounding check must find."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelwiki.model import Record

PLAUSIBLE = ("2", "4", "8", "16", "24", "32", "48", "64", "96", "128", "192", "256", "512", "1024")
ARCHS = ("90", "100", "103", "120")
_FENCE = re.compile(r"^```.*?^```", re.S | re.M)
_NUMBER = re.compile(r"(?<![\w.#\[`^:/-])\d[\d,]*(?:\.\d+)?(?![\w.]*[\w])")
_CODE = re.compile(r"`([^`\n]+)`")
_PR = re.compile(r"(?<![\w/^])([A-Za-z][\w-]*)#(\d+)\b")
_ARCH = re.compile(r"\b(sm_?)(90|100|103|120)(?=[af]?\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Mutation:
    """A file with one fact changed."""

    kind: str
    path: Path
    old: str
    new: str
    text: str
    line: str


def instruction_pool(texts: Sequence[str]) -> list[str]:
    """Names that stand in backticks in the corpus and look like instructions, opcodes, metrics or functions."""
    names = {name for text in texts for name in _CODE.findall(_FENCE.sub("", text))}
    return sorted(
        name for name in names if re.fullmatch(r"[\w.:%]+", name) and (re.search(r"[._:]", name) or name.isupper()) and len(name) > 3
    )


def _alike(name: str, pool: Sequence[str], choose: random.Random) -> str:
    """Another real name, of the same family half of the time (tcgen05.ld for tcgen05.st, UTMALDG for UTMASTG)."""
    family = [other for other in pool if other != name and other[:4].lower() == name[:4].lower()]
    same_case = [other for other in pool if other != name and other.isupper() == name.isupper() and ("__" in other) == ("__" in name)]
    return choose.choice(family if family and choose.random() < 0.5 else same_case or list(pool))


def _places(text: str, pattern: re.Pattern[str], start: int) -> list[re.Match[str]]:
    """Matches of a pattern in the prose behind `start`, outside code fences."""
    fences = [match.span() for match in _FENCE.finditer(text)]
    return [match for match in pattern.finditer(text, start) if not any(low <= match.start() < high for low, high in fences)]


def _swap(path: Path, text: str, kind: str, span: tuple[int, int], new: str) -> Mutation:
    line = text[text.rfind("\n", 0, span[0]) + 1 : text.find("\n", span[1])]
    return Mutation(kind, path, text[span[0] : span[1]], new, text[: span[0]] + new + text[span[1] :], line)


def other_number(old: str, choose: random.Random) -> str:
    """Another plausible number: its double, half, a neighbour, or one that kernels use."""
    value = float(old.replace(",", ""))
    if "." in old:
        options = {f"{changed:.{len(old.split('.')[1])}f}" for changed in (value * 0.5, value * 2, value * 3, value + 1)}
        return choose.choice(sorted(options - {old}))
    options = {str(int(value) * 2), str(int(value) + 1), *choose.sample(PLAUSIBLE, 4)} | ({str(int(value) // 2)} if value > 1 else set())
    return choose.choice(sorted(options - {old.replace(",", "")}))


def page_mutations(path: Path, text: str, pool: Sequence[str], records: Mapping[str, Record], choose: random.Random) -> Iterator[Mutation]:
    """One mutation of each class that the page has a place for."""
    body = text.index("\n---\n", 4)
    names = [match for match in _places(text, _CODE, body) if match.group(1) in pool]
    if names:
        place = choose.choice(names)
        yield _swap(path, text, "instruction", place.span(1), _alike(place.group(1), pool, choose))
    numbers = _places(text, _NUMBER, body)
    numbers = [place for place in numbers if not re.match(r"\s*\d+\.\s", text[text.rfind("\n", 0, place.start()) + 1 : place.end() + 2])]
    if numbers:
        place = choose.choice(numbers)
        yield _swap(path, text, "number", place.span(), other_number(place.group(), choose))
    requests = [place for place in _places(text, _PR, 0) if place.group() in records]
    if requests:
        place = choose.choice(requests)
        yield _swap(path, text, "pr", place.span(2), str(_other_request(place.group(), records, choose).number))
    places = [place.span(2) for place in _places(text, _ARCH, body)]
    line = re.search(r"^archs:.*$", text, re.M)
    if line:
        places += [(line.start() + match.start(2), line.start() + match.end(2)) for match in _ARCH.finditer(line.group())]
    if places:
        span = choose.choice(places)
        yield _swap(path, text, "arch", span, choose.choice([arch for arch in ARCHS if arch != text[span[0] : span[1]]]))


def _other_request(name: str, records: Mapping[str, Record], choose: random.Random) -> Record:
    repo = records[name].repo
    return choose.choice([record for record in records.values() if record.repo == repo and record.id != name])


def draw(
    pages: Mapping[Path, str], summaries: Mapping[Path, Sequence[str]], records: Mapping[str, Record], count: int, seed: int
) -> list[Mutation]:
    """`count` mutations of random pages and summary lines, one class after the other so that every class has its share."""
    choose = random.Random(seed)
    pool = instruction_pool(list(pages.values()))
    lines = [(path, line) for path, rows in summaries.items() for line in rows]
    found: list[Mutation] = []
    while len(found) < count:
        if lines and choose.random() < 0.4:
            drawn = list(summary_mutations(*choose.choice(lines), pool, records, choose))
        else:
            path = choose.choice(sorted(pages))
            drawn = list(page_mutations(path, pages[path], pool, records, choose))
        rare = min((mutation for mutation in drawn), key=lambda mutation: sum(other.kind == mutation.kind for other in found), default=None)
        found += [rare] if rare else []
    return found


def summary_mutations(
    path: Path, line: str, pool: Sequence[str], records: Mapping[str, Record], choose: random.Random
) -> Iterator[Mutation]:
    """One mutation of each class of one summary line."""
    row = json.loads(line)
    summary = str(row["summary"])
    changes: list[tuple[str, str, Callable[[], str]]] = []
    names = [name for name in _CODE.findall(summary) if re.fullmatch(r"[\w.:]+", name)]
    if names:
        name = choose.choice(names)
        changes.append(("instruction", name, lambda: summary.replace(name, _alike(name, pool, choose), 1)))
    numbers = list(_NUMBER.finditer(summary))
    if numbers:
        place = choose.choice(numbers)
        changed = summary[: place.start()] + other_number(place.group(), choose) + summary[place.end() :]
        changes.append(("number", place.group(), lambda: changed))
    for kind, old, change in changes:
        yield Mutation(kind, path, old, "", json.dumps({**row, "summary": change()}, ensure_ascii=False), summary)
    other = _other_request(row["id"], records, choose)
    yield Mutation("pr", path, row["id"], other.id, json.dumps({**row, "id": other.id}, ensure_ascii=False), summary)
    if row.get("archs"):
        archs = [choose.choice([f"sm{arch}" for arch in ARCHS if f"sm{arch}" not in row["archs"]]), *row["archs"][1:]]
        yield Mutation("arch", path, row["archs"][0], archs[0], json.dumps({**row, "archs": archs}, ensure_ascii=False), summary)

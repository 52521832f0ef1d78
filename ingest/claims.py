"""Claims: performance numbers that a pull request's text states, with GPU, data type, shape and the place where it was said.

A claim is reported by its author, never verified by us. Numbers without a performance unit or word give none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from kernelwiki.model import Claim

_MAX_CLAIMS = 40
_LONGEST_LINE = 600
_SENTENCE_END = re.compile(r"[.;!?]\s+")
_CODE = re.compile(r"^\s*(?:```|~~~)")
_LINK = re.compile(r"https?://\S+|<!--.*?-->")
_RULE = re.compile(r"^\s*\|?[\s:|-]+\|?\s*$")
_NUMBER = r"(?<![\w.])([+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[+-]?\d{1,9}(?:\.\d{1,6})?)"


@dataclass(frozen=True)
class Unit:
    """A unit of `claims.yaml`: what it measures and how it is stored."""

    pattern: re.Pattern[str]
    head: re.Pattern[str]
    metric: str
    unit: str
    factor: float


@dataclass(frozen=True)
class Forms:
    """The patterns of `claims.yaml`, compiled."""

    units: tuple[Unit, ...]
    ratio: re.Pattern[str]
    ratio_words: re.Pattern[str]
    percent: re.Pattern[str]
    percent_words: re.Pattern[str]
    subjects: tuple[tuple[re.Pattern[str], str], ...]
    gpu: re.Pattern[str]
    dtype: re.Pattern[str]
    shape: re.Pattern[str]


@cache
def forms() -> Forms:
    """The forms of a claim (`ingest/claims.yaml`)."""
    data = yaml.safe_load(resources.files("ingest").joinpath("claims.yaml").read_text(encoding="utf-8"))
    return Forms(
        units=tuple(
            Unit(
                re.compile(rf"{_NUMBER}\s?(?:{row['pattern']})(?![\w/])"),
                re.compile(rf"(?<![\w/])(?:{row['pattern']})(?![\w/])"),
                row["metric"],
                row["unit"],
                float(row.get("factor", 1)),
            )
            for row in data["units"]
        ),
        ratio=re.compile(data["ratio"]),
        ratio_words=re.compile(data["ratio_words"], re.I),
        percent=re.compile(data["percent"]),
        percent_words=re.compile(data["percent_words"], re.I),
        subjects=tuple((re.compile(row["pattern"], re.I), row["metric"]) for row in data["subjects"]),
        gpu=re.compile(data["gpu"]),
        dtype=re.compile(data["dtype"]),
        shape=re.compile(data["shape"]),
    )


def claims(title: str, body: str, discussion: Sequence[str] = ()) -> tuple[Claim, ...]:
    """Claims of a pull request's texts in the order of reading, each (metric, value, unit, place) once, at most 40."""
    found: dict[tuple[str, float, str, str, str], Claim] = {}
    for claim in _all(title, body, discussion):
        found.setdefault((claim.metric, claim.value, claim.unit, claim.said_in, claim.shape), claim)
        if len(found) == _MAX_CLAIMS:
            break
    return tuple(found.values())


def _all(title: str, body: str, discussion: Sequence[str]) -> Iterator[Claim]:
    gpu = _one(forms().gpu, title) or _only(forms().gpu, body)
    dtype = _one(forms().dtype, title)
    yield from _line(title, "title", gpu, dtype)
    yield from _text(body, "body:{}", gpu, dtype)
    for number, text in enumerate(discussion, 1):
        yield from _text(text, f"discussion:{number}", "", "")


def _text(text: str, place: str, gpu: str, dtype: str) -> Iterator[Claim]:
    """Claims of a markdown text, line by line; the columns of a table take the unit from their head."""
    heads: list[str] = []
    previous = ""
    for number, raw in enumerate(text.split("\n"), 1):
        line = _LINK.sub(" ", raw) if len(raw) <= _LONGEST_LINE else ""
        if not line.strip() or _CODE.match(line):
            heads, previous = [], ""
        elif previous and "|" in line and _RULE.match(line):
            heads = _cells(previous)
        elif heads and "|" in line:
            yield from _row(line, heads, place.format(number), gpu, dtype)
        else:
            heads = []
            yield from _line(line, place.format(number), gpu, dtype)
        previous = line


def _line(line: str, place: str, gpu: str, dtype: str) -> Iterator[Claim]:
    """Claims of one line of prose; a ratio or percentage counts where its own sentence says what changed."""
    if not any(char.isdigit() for char in line):
        return
    known = forms()
    gpu, dtype, shape = _one(known.gpu, line) or gpu, _one(known.dtype, line) or dtype, _one(known.shape, line)
    for unit in known.units:
        for match in unit.pattern.finditer(line):
            yield Claim(unit.metric, _value(match.group(1), unit.factor), unit.unit, place, gpu, dtype, shape)
    for sentence in _SENTENCE_END.split(line):
        for pattern, words, name, sign in (
            (known.ratio, known.ratio_words, "speedup", "x"),
            (known.percent, known.percent_words, "change", "%"),
        ):
            if words.search(sentence):
                subject = next((metric for form, metric in known.subjects if form.search(sentence)), name)
                for match in pattern.finditer(sentence):
                    yield Claim(subject, _value(match.group(1)), sign, place, gpu, dtype, shape)


def _row(line: str, heads: Sequence[str], place: str, gpu: str, dtype: str) -> Iterator[Claim]:
    """Claims of one table row: cells below a head with a unit, and cells that carry their own."""
    known = forms()
    cells = _cells(line)
    gpu, dtype = _one(known.gpu, line) or gpu, _one(known.dtype, line) or dtype
    shape = ", ".join(
        f"{head}={cell}" for head, cell in zip(heads, cells, strict=False) if re.fullmatch(r"\d+[kK]?", cell) and not _head_unit(head)
    )
    for head, cell in zip(heads, cells, strict=False):
        unit = _head_unit(head)
        number = re.fullmatch(rf"[*_`]{{0,3}}{_NUMBER}\s?([x×%]?)[*_`]{{0,3}}", cell)
        head_gpu, head_dtype = _one(known.gpu, head) or gpu, _one(known.dtype, head) or dtype
        if unit and number and not number.group(2):
            yield Claim(unit.metric, _value(number.group(1), unit.factor), unit.unit, place, head_gpu, head_dtype, shape[:80])
        elif number and number.group(2) and (known.ratio_words.search(head) or known.percent_words.search(head)):
            sign = "%" if number.group(2) == "%" else "x"
            yield Claim("speedup" if sign == "x" else "change", _value(number.group(1)), sign, place, head_gpu, head_dtype, shape[:80])
        elif not number:
            yield from _line(cell, place, head_gpu, head_dtype)


def _head_unit(head: str) -> Unit | None:
    return next((unit for unit in forms().units if unit.head.search(head)), None)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _value(text: str, factor: float = 1.0) -> float:
    return round(float(text.replace(",", "")) * factor, 6)


def _one(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return re.sub(r"\s+", " ", match.group(1)).strip(" ,;") if match else ""


def _only(pattern: re.Pattern[str], text: str) -> str:
    """What `pattern` finds in `text` when it is one thing throughout, else nothing."""
    found = {match.group(1) for match in pattern.finditer(text[:20_000])}
    return found.pop() if len(found) == 1 else ""

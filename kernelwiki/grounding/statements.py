"""Statements: the sentences of a page with the sources that each cites and how sure it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kernelwiki.grounding.facts import tokens_of
from kernelwiki.reading.pages import CITATION, KINDS, without_code

_MARKS = re.compile(rf"(?:{CITATION.pattern}\s*)+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`(])")
_BLOCKS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)|\n(?=\s*\|)|\n(?=#)")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
_LINK = re.compile(r"\[([^\]^]+)\]\([^)\s]+\)")
_PAGE = re.compile(rf"`?(?<![\w/.])(?:{'|'.join(KINDS)})/[a-z0-9-]+(?![\w/.]\w)`?")  # the name of another page states no fact
_TITLED = re.compile(r'^(?P<text>[\w-]+#\d+: "[^\n]*?")(?P<marks>(?:\[\^[^\]]+\])+)')  # an item of a list of pull requests
_RULE = re.compile(r"^[\s|:-]+$")


@dataclass(frozen=True)
class Statement:
    """One sentence, list item or table cell: its text without marks, the keys it cites, and its confidence (empty: the page's).

    `context` is what a table cell is about: the name of its row and column. Kind `title` is a pull request listed by its title in
    quotes, which are not our words.
    """

    text: str
    keys: tuple[str, ...]
    confidence: str = ""
    kind: str = "sentence"
    ends_block: bool = True
    context: str = ""


def statements_of(text: str) -> list[Statement]:
    """Every statement of a section's markdown, in order; code is left out. One without keys is not cited."""
    found: list[Statement] = []
    table: list[str] = []
    plain = _PAGE.sub(" ", _LINK.sub(r"\1", without_code(text)))
    for block in [*(block for block in _BLOCKS.split(plain) if block and block.strip()), ""]:
        if block.lstrip().startswith("|"):
            table.append(block)
            continue
        found += _table(table)
        table = []
        if block.startswith("#"):
            head, _, rest = block.partition("\n")
            found.append(Statement(head.strip("# "), (), kind="heading"))
            found += _sentences(rest)
        elif block:
            found += _sentences(_ITEM.sub("", block))
    return found


def _table(rows: list[str]) -> Iterator[Statement]:
    """A table: its head, and for each cell a statement `row name: column name cell` with the citations of its row."""
    if len(rows) < 2 or not _RULE.match(rows[1]):
        yield from (Statement(" ".join(row.replace("|", " ").split()), (), kind="row") for row in rows if not _RULE.match(row))
        return
    head = _cells(CITATION.sub("", rows[0]))
    yield Statement(" ".join(head), (), kind="header")
    for row in rows[2:]:
        marks = CITATION.findall(row)
        keys = tuple(dict.fromkeys(key for key, _ in marks))
        cells = _cells(CITATION.sub("", row))
        yield Statement(cells[0] if cells else "", keys, _confidence(marks), "row", context=f"{' '.join(cells[1:])} {head[0]}")
        for name, cell in zip(head[1:], cells[1:], strict=False):
            if cell:
                yield Statement(cell, keys, _confidence(marks), "cell", context=f"{cells[0]} {name}")


def _cells(row: str) -> list[str]:
    return [" ".join(cell.split()) for cell in row.strip().strip("|").split("|")]


def _sentences(block: str) -> Iterator[Statement]:
    """A paragraph or list item cut behind each group of marks; sentences before the marked one stand alone and uncited."""
    text = " ".join(block.split())
    position = 0
    if titled := _TITLED.match(text):
        yield Statement(titled["text"], tuple(dict.fromkeys(key for key, _ in CITATION.findall(titled["marks"]))), kind="title")
        text = text[titled.end() :].strip()
    for group in _MARKS.finditer(text):
        marks = CITATION.findall(group.group())
        *before, last = _SENTENCE_END.split(text[position : group.start()].strip())
        yield from (Statement(sentence, (), ends_block=False) for sentence in before)
        if last.strip(" .)"):
            yield Statement(last, tuple(dict.fromkeys(key for key, _ in marks)), _confidence(marks))
        position = group.end()
    rest = text[position:].strip()
    if rest.strip(" .)|"):
        *before, last = _SENTENCE_END.split(rest)
        yield from (Statement(sentence, (), ends_block=False) for sentence in before)
        yield Statement(last, ())


def _confidence(marks: list[tuple[str, str]]) -> str:
    given = {mark for _, mark in marks if mark}
    return "inferred" if "inferred" in given else "verified" if "verified" in given else ""


def states_a_fact(statement: Statement) -> bool:
    """Whether a sentence without citation would need one: it holds a checkable token."""
    return bool(tokens_of(statement.text))

"""Neighbours: whether a number or architecture stands beside the same things in a sentence as in the facts that hold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from kernelwiki.grounding.facts import FactLine, Item, archs_in, is_arch, items_of, name_parts, number_words
from kernelwiki.tokens import stem

REACH = 4  # items on each side that are compared
FADE = 0.4  # how much less an item counts with each place that it is further away
OTHER_SIDE = 0.4  # what a neighbour is worth that stands on the other side in the fact
MARGIN = {"number": 0.8, "arch": 0.4}  # by how much another one of the facts must fit the place in the sentence better


def better_neighbour(items: Sequence[Item], place: int, lines: Sequence[FactLine], holding: Sequence[FactLine]) -> tuple[str, str] | None:
    """Why another number or architecture of the facts belongs into this place of the sentence: `N is 16` for `N 8 to 256, K 16`.

    Compared are the neighbours, each weighed by its distance in the sentence and in the fact. What the sentence names elsewhere is no
    candidate, nor is anything of a fact that has less of the sentence than the best one that holds the token.
    """
    item = items[place]
    kind = _kind(item)
    if kind not in MARGIN:
        return None
    own = [_agreement(items, place, row, at) for row in map(_row, holding) for at, other in enumerate(row) if _same(item, other)]
    if not own:
        return None
    named = _numbered(items)
    rest = [other for other in items if other.kind != "break" and not _same(other, item)]
    told = max(_held(rest, line) for line in holding)
    best, better, text = 0.0, None, ""
    for line in lines:
        if line.loose or _held(rest, line) < told:
            continue
        row = _row(line)
        for at, other in enumerate(row):
            if _kind(other) == kind and not any(_same(other, known) for known in named):
                score = _agreement(items, place, row, at)
                if score > best:
                    best, better, text = score, other, line.text
    if better is None or best < max(own) + MARGIN[kind]:
        return None
    return (
        f"stands where the fact has {better.text!r}: {text[:140]!r}",
        "correct it, or word sentence and fact alike",
    )


def _kind(item: Item) -> str:
    return "arch" if is_arch(item) else item.kind


def _held(items: Iterable[Item], line: FactLine) -> int:
    return sum(line.holds(item) for item in items)


def _row(line: FactLine) -> tuple[Item, ...]:
    return _items(line.text)


@lru_cache(maxsize=50_000)
def _items(text: str) -> tuple[Item, ...]:
    return _numbered(items_of(text))


def _numbered(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items in order, number words as numbers."""
    words = number_words()
    return tuple(Item("number", item.text, words[item.form]) if item.form in words else item for item in items)


@lru_cache(maxsize=500_000)
def _same(one: Item, other: Item) -> bool:
    """Whether two items mean the same: equal numbers, one architecture, a name and its parts, words of one stem."""
    if "number" in (one.kind, other.kind):
        return one.kind == other.kind and one.form == other.form
    if is_arch(one) and is_arch(other):
        return bool(archs_in(one.text) & archs_in(other.text))
    return stem(one.form) == stem(other.form) or one.form in name_parts(other.form) or other.form in name_parts(one.form)


def _agreement(items: Sequence[Item], place: int, row: Sequence[Item], at: int) -> float:
    """How much of what stands around `place` in the sentence stands around `at` in the fact."""
    total = 0.0
    for here in _offsets(items, place):
        item = items[place + here]
        if item.kind in ("break", "pr") or item.form == items[place].form:
            continue
        near = [
            _weight(there) * (1.0 if (there < 0) == (here < 0) else OTHER_SIDE)
            for there in _offsets(row, at)
            if row[at + there].kind != "break" and _same(item, row[at + there])
        ]
        total += _weight(here) * max(near, default=0.0)
    return total


def _offsets(items: Sequence[Item], place: int) -> list[int]:
    return [offset for offset in range(-REACH, REACH + 1) if offset and 0 <= place + offset < len(items)]


def _weight(offset: int) -> float:
    return 1 / (1 + FADE * (abs(offset) - 1))

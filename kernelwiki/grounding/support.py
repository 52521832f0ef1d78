"""Grounding: whether the sources that a sentence cites say what it says, token by token, and which fact lines do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kernelwiki.grounding.facts import FactLine, Item, is_arch, items_of, name_parts
from kernelwiki.grounding.neighbours import better_neighbour
from kernelwiki.grounding.spelling import spelled_otherwise

REACH = 6  # items on each side of a token in the sentence that count as what is said about it
FADE = 0.3  # how much less an item counts with each place that it is further away
NEAR = 4  # a name that stands twice within so many items is an enumeration that repeats itself
RIVAL_ITEMS = 4  # a shorter line says too little to be what a sentence is about
SHORT_CLAUSE = 3  # a clause of fewer items says too little: the whole sentence counts
AMPLE = 0.6  # so much shared context is enough among the clauses of one fact
_TWINS = re.compile(r"(?<![\w.`])(`[^`]+`|\d[\d.]*) (?:and|or) \1(?![\w.`]*\w)")  # `BAR.SYNC` and `BAR.SYNC`, 128 or 128
MARGIN = 0.5  # by how much (in items beside the token) another line may match better before the token is held to be wrong


@dataclass(frozen=True)
class Ungrounded:
    """One token of a sentence that no cited fact supports: why, and what would mend it."""

    sentence: str
    token: str
    reason: str
    mend: str

    @property
    def message(self) -> str:
        return f"{self.token!r} {self.reason} | mend: {self.mend} | {self.sentence[:200]}"


def ungrounded(sentence: str, lines: Sequence[FactLine], pull_requests: Sequence[str] = (), context: str = "") -> list[Ungrounded]:
    """Tokens of `sentence` that `lines` (of the sources it cites) do not support; `pull_requests` are the ids it cites.

    `context` says what the sentence is about without being part of it (the row and column of a table cell).

    A token is supported by a line that holds it and also says something of what stands around it in the sentence. When another line
    matches those surroundings clearly better and lacks the token, the token is held to be wrong.
    """
    items = [*items_of(context), *items_of(sentence)]
    cited = {name.lower().rsplit("/", 1)[-1] for name in pull_requests}
    found: dict[str, Ungrounded] = {
        name: Ungrounded(sentence, name, "is named twice", "name both, or one of them once") for name in _TWINS.findall(sentence)
    }
    for place, item in enumerate(items):
        if place < len(items_of(context)) or item.kind in ("word", "break") or item.text in found:
            continue
        problem = _unsupported(items, place, lines, cited)
        if problem:
            found[item.text] = Ungrounded(sentence, item.text, *problem)
    return list(found.values())


def _unsupported(items: Sequence[Item], place: int, lines: Sequence[FactLine], cited: set[str]) -> tuple[str, str] | None:
    item = items[place]
    if item.kind == "pr":
        return None if item.form in cited else ("is not cited by this sentence", f"add a pr source with id {item.text}, cite its key here")
    holding = [line for line in lines if line.holds(item)]
    if not holding:
        keys = ", ".join(dict.fromkeys(line.key for line in lines)) or "none"
        return (
            f"is in no fact of the cited sources ({keys})",
            "add the fact to the sheet or to the source's `facts` if you read it there; else cite another source or drop it",
        )
    misspelled = spelled_otherwise(item, holding)
    if misspelled or (item.kind == "name" and any(line.loose for line in holding)):
        return misspelled
    meaning = [line for line in lines if line in holding or line.may_mean(item)]
    others = [line for line in lines if line.rival and line not in meaning and len(line.items) >= RIVAL_ITEMS]
    around = _around(items, place)
    return _out_of_place(around, meaning, others) or better_neighbour(items, place, lines, holding) or _too_often(item, items, holding)


def _out_of_place(around: Mapping[Item, float], holding: Sequence[FactLine], others: Sequence[FactLine]) -> tuple[str, str] | None:
    """Why the lines that hold a token speak of something else than what stands around it; None when one of them fits."""
    if not around:
        return None
    best = max(holding, key=lambda line: _shared(around, line))
    score = _shared(around, best)
    if score == 0 and len(best.items) > (2 if best.rival else 4):
        return (
            f"stands only in facts about something else, such as {best.text[:100]!r}",
            "write the fact as one line that names its subject and this value, or cite the line's source",
        )
    if score >= AMPLE:  # other clauses of the same fact are then no rivals: the sentence tells the fact as a whole
        others = [line for line in others if line.fact != best.fact]
    rival = max(others, key=lambda line: _shared(around, line), default=None)
    if best.rival and rival is not None and _shared(around, rival) >= score + MARGIN:
        return (
            f"does not stand in the fact that is nearest to this sentence: {rival.text[:140]!r}",
            "correct the sentence, or word it (or the fact that holds the token) so that both speak of the same thing",
        )
    return None


def _too_often(item: Item, items: Sequence[Item], holding: Sequence[FactLine]) -> tuple[str, str] | None:
    """A number or name that the sentence has more often than the facts that hold it: one of its places is probably another one's."""
    places = [at for at, other in enumerate(items) if other.form == item.form and other.kind == item.kind]
    near = any(after - before <= NEAR for before, after in pairwise(places))
    if is_arch(item) and near:
        seen = 1
    elif near:
        seen = max(line.count(item.form) for line in holding)
    elif item.kind == "number" and not any(line.loose for line in holding):
        seen = sum(line.count(item.form) for line in holding)
    else:
        seen = len(places)
    if seen >= len(places):
        return None
    return (
        f"stands {len(places)} times in the sentence and {seen} times in the cited facts",
        "correct the place that is wrong, or name it once",
    )


def _around(items: Sequence[Item], place: int) -> dict[Item, float]:
    """The items near one in its clause with their weight (nearer counts more), without those that only repeat it."""
    start = max((at + 1 for at in range(place) if items[at].kind == "break"), default=0)
    end = min((at for at in range(place, len(items)) if items[at].kind == "break"), default=len(items))
    if end - start < SHORT_CLAUSE:
        start, end = 0, len(items)
    own = items[place]
    parts = name_parts(own.form)
    found: dict[Item, float] = {}
    for other in range(max(start, place - REACH), min(end, place + REACH + 1)):
        item = items[other]
        if item.form == own.form or item.form in parts or item.text == own.text or item.kind in ("pr", "break"):
            continue
        found[item] = max(found.get(item, 0.0), 1 / (1 + FADE * (abs(other - place) - 1)))
    return found


def _shared(around: Mapping[Item, float], line: FactLine) -> float:
    return sum(weight for item, weight in around.items() if line.holds(item))


def lines_of(keys: Sequence[str], sources: Mapping[str, Sequence[FactLine]]) -> list[FactLine]:
    """Fact lines of the sources named by `keys`."""
    return [line for key in keys for line in sources.get(key, ())]

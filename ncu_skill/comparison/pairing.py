"""Pairing: which kernel of one report is which kernel of the other, by name, template arguments, grid, block, NVTX and similarity."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable

from ncu_skill.comparison.model import Pair, Side
from ncu_skill.report import Report

MIN_SIMILARITY = 0.55
_WORD = re.compile(r"[A-Za-z]+|\d+")


def sides(report: Report, chosen: Callable[[str], bool], *, by_nvtx: bool) -> list[Side]:
    """The launches grouped by kernel, grid, block (and NVTX ranges), longest total first."""
    found: dict[tuple[object, ...], Side] = {}
    for kernel in report:
        if chosen(kernel.name):
            nvtx = kernel.nvtx if by_nvtx else ()
            key = (kernel.name, kernel.grid, kernel.block, nvtx)
            found.setdefault(key, Side([], nvtx)).add(kernel)
    return sorted(found.values(), key=lambda side: -side.total_ns)


def base_name(name: str) -> str:
    """The function's name without return type, template arguments and parameters: `void a::f<(int)1>(float *)` gives `a::f`."""
    depth, kept = 0, []
    for char in name:
        if char == "<":
            depth += 1
        elif char == ">" and depth:
            depth -= 1
        elif char == "(" and not depth:
            break
        elif not depth:
            kept.append(char)
    words = "".join(kept).split()
    return words[-1] if words else name


def pair(base: list[Side], candidate: list[Side]) -> tuple[list[Pair], list[Side], list[Side]]:
    """(pairs in base order, unmatched of base, unmatched of candidate). Stricter keys pair first."""
    found: list[Pair] = []
    left, right = list(base), list(candidate)
    for label, key in (
        ("name, grid, block and NVTX", lambda side: (side.name, side.grid, side.block, side.nvtx)),
        ("name, grid and block", lambda side: (side.name, side.grid, side.block)),
        ("name and NVTX", lambda side: (side.name, side.nvtx)),
        ("name", lambda side: side.name),
    ):
        _take(found, left, right, label, key)
    _take_similar(found, left, right)
    if len(base) == len(candidate) == 1 and left:
        found.append(Pair(left.pop(), right.pop(), "only kernel of each report", similarity(base[0], candidate[0])))
    order = {id(side): position for position, side in enumerate(base)}
    found.sort(key=lambda item: order[id(item.base)])
    return found, left, right


def _take(found: list[Pair], left: list[Side], right: list[Side], label: str, key: Callable[[Side], object]) -> None:
    """Pair sides of equal key; of several with one key those of nearest grid and block, then of nearest rank."""
    for side in list(left):
        matches = [other for other in right if key(other) == key(side)]
        if matches:
            other = min(matches, key=lambda item: abs(_threads(item) - _threads(side)))
            found.append(Pair(side, other, label))
            left.remove(side)
            right.remove(other)


def _take_similar(found: list[Pair], left: list[Side], right: list[Side]) -> None:
    scored = sorted(
        ((similarity(a, b), i, j) for i, a in enumerate(left) for j, b in enumerate(right)),
        key=lambda row: (-row[0], row[1], row[2]),
    )
    taken: set[tuple[str, int]] = set()
    pairs = []
    for score, i, j in scored:
        if score >= MIN_SIMILARITY and ("left", i) not in taken and ("right", j) not in taken:
            taken |= {("left", i), ("right", j)}
            same = base_name(left[i].name) == base_name(right[j].name)
            pairs.append(Pair(left[i], right[j], "name, other template arguments" if same else "similar name and code", round(score, 2)))
    found += pairs
    left[:] = [side for index, side in enumerate(left) if ("left", index) not in taken]
    right[:] = [side for index, side in enumerate(right) if ("right", index) not in taken]


def similarity(a: Side, b: Side) -> float:
    """0 to 1 from the words of the names (half), the executed opcodes (a third) and the number of threads (a sixth)."""
    first, second = base_name(a.name), base_name(b.name)
    names = 1.0 if first == second else _ratio(_WORD.findall(first.lower()), _WORD.findall(second.lower()))
    opcodes = _cosine(_opcodes(a), _opcodes(b))
    threads = min(_threads(a), _threads(b)) / max(_threads(a), _threads(b), 1)
    if opcodes is None:
        return 0.75 * names + 0.25 * threads
    return names / 2 + opcodes / 3 + threads / 6


def fused_into(side: Side, others: Iterable[Side]) -> Side | None:
    """A kernel of the other report whose name holds every word of this one's: it may have swallowed it."""
    words = set(_WORD.findall(base_name(side.name).lower())) - {"kernel"}
    for other in others:
        if words and words < set(_WORD.findall(base_name(other.name).lower())):
            return other
    return None


def _ratio(a: list[str], b: list[str]) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def _threads(side: Side) -> int:
    return math.prod(side.grid) * math.prod(side.block)


def _opcodes(side: Side) -> Counter[str]:
    values, names = side.median.instances("sass__inst_executed_per_opcode")
    return Counter({str(name): int(value) for name, value in zip(names, values, strict=True) if isinstance(value, int | float)})


def _cosine(a: Counter[str], b: Counter[str]) -> float | None:
    if not a or not b:
        return None
    product = sum(count * b[name] for name, count in a.items())
    length = math.sqrt(sum(count**2 for count in a.values()) * sum(count**2 for count in b.values()))
    return product / length if length else None

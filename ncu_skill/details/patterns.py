"""Patterns: habits in the executed SASS that cost time: narrow or strided accesses, spills, divisions, double literals, shallow copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ncu_skill.facts import Facts
from ncu_skill.model import Instruction
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

MIN_SHARE = 0.002  # of the executed instructions
WINDOW = 24  # instructions between neighbours that one wider access could replace
STACK = 1  # R1 is the stack pointer: constant offsets from it are spills, other local addresses are indexed arrays
MIN_SPILLS = 4
STRIDED = 2.0  # times the sectors of a coalesced access
SHALLOW = 0.25  # of the copies: waits for everything that are fewer belong to an epilogue
DIVISION_REACH = 14
WIDEST_BITS = 128


class Match(NamedTuple):
    """One habit at one instruction; executions of everything that belongs to it."""

    pattern: str
    pc: int
    executed: float
    text: str


def table(kernel: Kernel, facts: Facts, samples: Samples) -> list[dict[str, Any]]:
    """Rows {pattern, file, line, pc, opcode, share_pct, text}, costliest first; share_pct is of the executed warp instructions."""
    executed = kernel.per_pc("inst_executed")
    total = sum(executed.values())
    code = kernel.instructions
    if not total or not code:
        return []
    best: dict[tuple[str, str, int], tuple[float, Match]] = {}
    for find in FINDERS:
        for match in find(kernel, code, executed):
            inner = kernel.innermost(match.pc)
            place = inner.own if inner else None
            key = (match.pattern, place.file if place else "", place.line if place else match.pc)
            before = best[key][0] if key in best else 0.0
            best[key] = (before + match.executed, best[key][1] if key in best else match)
    ranked = sorted(best.items(), key=lambda row: (-row[1][0], row[0]))
    return [_row(key, share / total, match, samples) for key, (share, match) in ranked if share >= MIN_SHARE * total]


def _row(key: tuple[str, str, int], share: float, match: Match, samples: Samples) -> dict[str, Any]:
    instruction = samples.code.get(match.pc)
    opcode = instruction.opcode if instruction else ""
    return {
        "pattern": match.pattern,
        "file": key[1],
        "line": key[2] if key[1] else 0,
        "pc": match.pc,
        "opcode": opcode,
        "share_pct": round(100 * share, 2),
        "text": match.text,
    }


def unvectorised(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Accesses at neighbouring constant offsets from one address register that a single wider access would cover."""
    used: set[int] = set()
    for at, first in enumerate(code):
        if first.kind not in {"load-global", "store-global", "load-shared"} or first.pc in used or not executed.get(first.pc):
            continue
        group = [first]
        for other in code[at + 1 : at + WINDOW]:
            if other.destination == first.address and other.kind not in {"store-global", "store-shared"}:
                break
            same = other.kind == first.kind and other.address == first.address and other.width_bits == first.width_bits
            if same and other.offset == group[-1].offset + first.width_bits // 8:
                group.append(other)
        width = len(group) * first.width_bits
        if len(group) > 1 and width <= WIDEST_BITS and first.offset % (width // 8) == 0:
            used.update(item.pc for item in group)
            text = f"{len(group)} neighbouring {first.width_bits}-bit accesses: one of {width} bits would do if the address is aligned"
            yield Match("unvectorised-neighbours", first.pc, sum(executed.get(item.pc, 0.0) for item in group), text)


def narrow(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Global accesses of one byte per thread."""
    for item in code:
        if item.kind in {"load-global", "store-global"} and item.width_bits == 8 and executed.get(item.pc):
            yield Match("one-byte-access", item.pc, executed[item.pc], "each thread moves one byte: 16 bytes per access are possible")


def strided(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Global accesses whose lanes lie in more sectors than their width needs."""
    touched = kernel.per_pc("memory_l2_theoretical_sectors_global")
    ideal = kernel.per_pc("memory_l2_theoretical_sectors_global_ideal")
    for item in code:
        needed, sectors = ideal.get(item.pc, 0.0), touched.get(item.pc, 0.0)
        if needed and sectors >= STRIDED * needed and executed.get(item.pc):
            text = f"lanes lie apart: {sectors / executed[item.pc]:.1f} sectors per access where {needed / executed[item.pc]:.1f} would do"
            yield Match("strided-lanes", item.pc, executed[item.pc], text)


def shallow_copies(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Waits for all asynchronous copies (cp.async.wait_group 0) inside the loop that issues them: one stage in flight."""
    copies = [executed.get(item.pc, 0.0) for item in code if item.kind == "async-copy"]
    if not any(copies):
        return
    for item in code:
        count = executed.get(item.pc, 0.0)
        if item.opcode == "DEPBAR" and item.offset == 0 and count >= SHALLOW * max(copies):
            yield Match("one-stage-copy", item.pc, count + sum(copies), "waits for every copy in flight: one stage, nothing overlaps")


def divisions(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Integer division by a value that is known only at run time: conversion, reciprocal, conversion back, then corrections."""
    for at, item in enumerate(code):
        if item.opcode != "MUFU" or not executed.get(item.pc):
            continue
        before = any(other.opcode in {"I2F", "I2FP"} for other in code[max(0, at - DIVISION_REACH) : at])
        after = any(other.opcode == "F2I" for other in code[at + 1 : at + DIVISION_REACH])
        if before and after:
            text = "division or remainder by a run-time value: about 20 instructions; divide by a constant or a precomputed reciprocal"
            yield Match("run-time-division", item.pc, 20 * executed[item.pc], text)


def doubles(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Conversions between float and double around double arithmetic: literals without f, or a double accumulator."""
    arithmetic = any(item.kind == "fp64" and executed.get(item.pc) for item in code)
    for item in code:
        if arithmetic and item.opcode == "F2F" and executed.get(item.pc):
            yield Match("double-literals", item.pc, executed[item.pc], "float is converted to double and back: write 0.5f, not 0.5")


def spills(kernel: Kernel, code: Sequence[Instruction], executed: dict[int, float]) -> Iterator[Match]:
    """Local memory: spilled registers (constant offsets from the stack pointer) and arrays indexed at run time."""
    local = [item for item in code if item.kind in {"load-local", "store-local"} and executed.get(item.pc)]
    spilled = [item for item in local if item.address == STACK]
    if len(spilled) >= MIN_SPILLS:
        text = f"{len(spilled)} spill and refill instructions with constant addresses: the registers do not hold the unrolled values"
        yield from (Match("unrolled-spills", item.pc, executed[item.pc], text) for item in spilled)
    for item in local:
        if item.address != STACK:
            yield Match("indexed-local-array", item.pc, executed[item.pc], "a local array is indexed at run time: it lives in local memory")


FINDERS: tuple[Callable[[Kernel, Sequence[Instruction], dict[int, float]], Iterator[Match]], ...] = (
    unvectorised,
    narrow,
    strided,
    shallow_copies,
    divisions,
    doubles,
    spills,
)

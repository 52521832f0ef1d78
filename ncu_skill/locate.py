"""Locations: the source lines behind a finding, producers and consumers, heaviest first."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from ncu_skill.model import Place
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

LIMIT = 5
TRACED = 24  # hottest waits per stall reason that are traced to their producers
NEIGHBOURS = 64  # instructions to look back for the user's line of library code without call information
SAME_LINE = 0.25  # of the waiting share that a line's own loads have to make up to be named instead
SECOND = 0.6  # of the first location's share: below it, the other line of an inlined helper is the better second location
MIN_SHARE = 0.005
PREDICATED = 0.1  # of the lanes: fewer idle ones are no divergence of branches
HELPERS = frozenset({"async-copy", "tma-load", "tma-store", "async-wait", "mbarrier"})
WRAPPED = HELPERS | {"tensor", "tensor-legacy", "atomic-global", "atomic-shared", "mufu", "fp64"}
Weights = dict[tuple[int, str], float]


class Location(NamedTuple):
    """One place: share_pct is its part of what the finding counts (samples, excess sectors …)."""

    file: str
    line: int
    pc: int
    opcode: str
    share_pct: float
    role: str


def locate(where: str, kernel: Kernel, samples: Samples) -> list[Location]:
    """Places for one `where` of the playbook, at most five; empty without per-PC data."""
    kind, _, argument = where.partition(":")
    words = tuple(argument.split(",")) if argument else ()
    if kind == "none":
        return []
    if kind == "stall":
        weights = _stalls(samples, words)
    elif kind == "class":
        weights = _classes(kernel, samples, words)
    elif kind == "excess_sectors":
        weights = _excess(kernel, "memory_l2_theoretical_sectors_global")
    elif kind == "excess_shared":
        weights = _excess(kernel, "memory_l1_wavefronts_shared")
    elif kind == "divergent":
        weights = _divergent(kernel)
    else:
        weights = {(row.pc, "consumer"): row.share for row in samples.hot[:40]}
    return _merge(weights, kernel, samples, causes_first=kind == "divergent")


def _stalls(samples: Samples, stalls: tuple[str, ...]) -> Weights:
    """Where warps wait, and what the hottest waits wait for."""
    weights: Weights = defaultdict(float)
    for stall in stalls:
        ranked = samples.hottest(stall, limit=len(samples.by_stall.get(stall, ())))
        for pc, share in ranked[TRACED:]:
            weights[pc, "consumer"] += share
        for pc, share in ranked[:TRACED]:
            weights[samples.flow.waiting_at(pc, stall), "consumer"] += share
            producers = samples.producers(pc, stall)
            for instruction in producers:
                weights[instruction.pc, "producer"] += share / len(producers)
    return weights


def _classes(kernel: Kernel, samples: Samples, kinds: tuple[str, ...]) -> Weights:
    """Instructions of the classes, weighed by samples at them and behind them, then by executions."""
    executed = kernel.per_pc("inst_executed")
    counted = {pc: executed.get(pc, 0.0) for pc, instruction in samples.code.items() if instruction.kind in kinds}
    total = sum(counted.values()) or 1.0
    weights: Weights = defaultdict(float)
    for pc, count in counted.items():
        weights[pc, "producer"] += 0.2 * count / total
    for stall in samples.by_stall:
        for pc, share in samples.hottest(stall, limit=24):
            if pc in counted:
                weights[pc, "producer"] += share
            for instruction in samples.producers(pc, stall) if stall in {"long_scoreboard", "short_scoreboard"} else ():
                if instruction.pc in counted:
                    weights[instruction.pc, "producer"] += share
    whole = max(1.0, sum(weights.values()))
    return {key: weight / whole for key, weight in weights.items()}


def _excess(kernel: Kernel, metric: str) -> Weights:
    touched, ideal = kernel.per_pc(metric), kernel.per_pc(f"{metric}_ideal")
    excess = {pc: count - ideal.get(pc, count) for pc, count in touched.items()}
    total = sum(value for value in excess.values() if value > 0) or 1.0
    return {(pc, "producer"): value / total for pc, value in excess.items() if value > 0}


def _divergent(kernel: Kernel) -> Weights:
    """Branches whose lanes part, then the instructions that run with lanes missing."""
    parted = {pc: count for pc, count in kernel.per_pc("smsp__branch_targets_threads_divergent").items() if count}
    total = sum(parted.values())
    weights: Weights = {(pc, "producer"): count / total for pc, count in parted.items()}
    executed, lanes = kernel.per_pc("inst_executed"), kernel.per_pc("thread_inst_executed")
    idle = {pc: 32 * count - lanes.get(pc, 32 * count) for pc, count in executed.items()}
    wasted = sum(idle.values())
    if wasted < PREDICATED * 32 * sum(executed.values()):  # no lane is away from its warp: the branches became predicates
        lanes = kernel.per_pc("thread_inst_executed_true")
        idle = {pc: 32 * count - lanes.get(pc, 32 * count) for pc, count in executed.items()}
        wasted = sum(idle.values())
    wasted = wasted or 1.0
    for pc, count in idle.items():
        if count > 0:
            weights[pc, "consumer"] = count / wasted
    return weights


def _merge(weights: Weights, kernel: Kernel, samples: Samples, *, causes_first: bool = False) -> list[Location]:
    """One location per line in its heavier role, with its heaviest PC. `causes_first` puts branches before what they idle."""
    lines: dict[tuple[str, int, str], float] = defaultdict(float)
    heaviest: dict[tuple[str, int, str], tuple[float, int]] = {}
    for (pc, role), weight in weights.items():
        place = _place(kernel, samples, pc)
        key = (place.file, place.line, role) if place else (f"pc {pc:#x}", 0, role)
        lines[key] += weight
        if weight > heaviest.get(key, (-1.0, 0))[0]:
            heaviest[key] = (weight, pc)
    for file, line, role in [key for key in lines if key[2] == "consumer"]:
        made = lines.get((file, line, "producer"), 0.0)
        if not causes_first and made >= SAME_LINE * lines[file, line, role]:  # the line both loads and waits: name the load
            lines[file, line, "producer"] = max(made, lines.pop((file, line, role)))

    def order(item: tuple[tuple[str, int, str], float]) -> tuple[object, ...]:
        consumer = item[0][2] != "producer"
        return causes_first and consumer, -round(item[1], 9), consumer, item[0]

    ranked = sorted(lines.items(), key=order)
    found: list[Location] = []
    for key, weight in ranked:
        twice = any((place.file, place.line) == key[:2] for place in found)
        if weight >= MIN_SHARE and not twice and len(found) < LIMIT:
            pc = heaviest[key][1]
            instruction = samples.code.get(pc)
            found.append(Location(key[0], key[1], pc, instruction.opcode if instruction else "", round(100 * weight, 1), key[2]))
    return _with_other_line(found, kernel, samples)


def _with_other_line(found: list[Location], kernel: Kernel, samples: Samples) -> list[Location]:
    """The heaviest location of a wrapped instruction (inline PTX, intrinsics) with its other line: the helper's, or the call's."""
    if not found or (len(found) > 1 and found[1].share_pct >= SECOND * found[0].share_pct):
        return found
    first = found[0]
    instruction, inner = samples.code.get(first.pc), kernel.innermost(first.pc)
    if inner is None or instruction is None or instruction.kind not in WRAPPED:
        return found
    own = inner.own
    others = [own] if own.caller is None else [own, own.caller.own]
    for other in others:
        if (other.file, other.line) not in {(place.file, place.line) for place in found} and not other.in_library:
            twin = Location(other.file, other.line, first.pc, first.opcode, first.share_pct, first.role)
            return [first, twin, *found[1 : LIMIT - 1]]
    return found


def _place(kernel: Kernel, samples: Samples, pc: int) -> Place | None:
    """The user's own line of a PC; for copies and their waits, which sit in one-line helpers, the line that calls the helper."""
    inner = kernel.innermost(pc)
    if inner is None:
        return None
    instruction = samples.code.get(pc)
    own = inner.own
    if own.in_library:
        return _nearby(kernel, samples, pc) or own
    if instruction is not None and instruction.kind in HELPERS and own.caller is not None:
        return own.caller.own
    return own


def _nearby(kernel: Kernel, samples: Samples, pc: int) -> Place | None:
    """The user's line that was compiled last before a piece of library code which does not say who called it."""
    position = samples.flow.index.get(pc)
    if position is None:
        return None
    for earlier in reversed(samples.flow.code[max(0, position - NEIGHBOURS) : position]):
        inner = kernel.innermost(earlier.pc)
        if inner is not None and not inner.own.in_library:
            return inner.own
    return None

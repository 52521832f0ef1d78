"""Phases: ramp, steady part, sawtooth, gaps and tail of a timeline, and the shape they make together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ncu_skill.data import table
from ncu_skill.pmsampling.series import Timeline, Values

Kind = Literal["ramp", "steady", "sawtooth", "gap", "tail"]
Shape = Literal["flat", "ramp", "tail", "imbalance", "sawtooth", "gaps"]
RISEN = 0.9  # of the steady level
FALLEN = 0.75
LOW = 0.35  # of the steady level: below lies a gap
MIN_PHASE = 0.03  # of the run time
MIN_SAMPLES = 3
# Part of the steady part's work that a phase must leave undone to name the shape. Seen on kernels of known shape: equal blocks end raggedly
# (up to 0.06), a partial last wave shows from 0.04 on. Device memory takes 10 to 15 us to get going in every kernel: no ramp of its own.
LOST_AT = {"ramp": 0.025, "gap": 0.05, "tail": 0.04, "imbalance": 0.08}
START_NS = 15_000
SWING = 0.3  # of the upper level, in both halves
SWING_TIME = 0.3
REGULAR = 0.3  # deviation of the periods over their mean
DUTY = 0.2  # a swing spends at least this part of the time high, and as much low
FALLING = 0.4  # of the run time: a shorter straight end is a tail
STRAIGHT = 0.05  # of the variance may lie off the line
WHOLE = 0.005  # a grid this near to whole waves has no partial last wave
ONE_BLOCK = 1.6  # a tail of whole blocks is no longer than about one block runs


@dataclass(frozen=True)
class Phase:
    """One part of the run. Level is the mean of the main series over its steady level (0 to about 1); period only for a sawtooth.

    A ramp may be a falling one, at the end.
    """

    kind: Kind
    start: int
    end: int
    level: float
    period: float | None = None
    falling: bool = False


@dataclass(frozen=True)
class Reading:
    """What the timeline says: main series, phases, shape, and shares (0 to 1) of the run time."""

    main: str
    steady_pct: float
    phases: list[Phase]
    shape: Shape
    tail_share: float
    imbalance: float
    why: str


def reading(line: Timeline, waves: float | None) -> Reading:
    """Segment the launch. `waves` (grid over what fits at once) tells a tail of whole blocks from imbalance between blocks."""
    main = _main(line)
    level = _smooth(line.series[main], max(3, line.samples // 60))
    busy = _smooth(line.series.get("sm_active", np.full(line.samples, 100.0)), 3) / 100
    steady = _steady(level, busy)
    relative = level / steady if steady > 0 else level
    ramp, tail = _ramp(relative, busy), _tail(relative, busy)
    if ramp >= tail:
        ramp = 0
    swing = _swing(line, ramp, tail, steady)
    phases = _middle(relative, ramp, tail, swing)
    imbalance = float(1 - np.mean(busy))
    shape, why = _shape(line, phases, tail, waves, swing)
    return Reading(main, steady, phases, shape, (line.samples - tail) / line.samples, imbalance, why)


def _main(line: Timeline) -> str:
    """The activity series that gets nearest to its peak."""
    roles = table("timeline")["series"]
    known = [key for key in line.series if roles[key]["role"] == "activity"]
    return max(known, key=lambda key: float(np.percentile(line.series[key], 90)), default="sm_active")


def _smooth(values: Values, width: int) -> Values:
    """Running median: keeps edges, drops single samples."""
    width |= 1
    padded = np.pad(values, width // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1), dtype=np.float64)


def _steady(level: Values, busy: Values) -> float:
    """The level held while most SMs work: the 80th percentile there."""
    full = level[busy >= RISEN]
    chosen = full if len(full) >= MIN_SAMPLES else level[busy >= 0.9 * np.max(busy)]
    return float(np.percentile(chosen, 80))


def _long_enough(samples: int, total: int) -> bool:
    return samples >= max(MIN_SAMPLES, MIN_PHASE * total)


def _ramp(relative: Values, busy: Values) -> int:
    """Index at which the level first reaches the steady one."""
    risen = np.nonzero((relative >= RISEN) & (busy >= FALLEN))[0]
    first = int(risen[0]) if len(risen) else 0
    return first if _long_enough(first, len(relative)) else 0


def _tail(relative: Values, busy: Values) -> int:
    """Index from which SMs run dry or the level stays down until the end."""
    high = np.nonzero((relative >= FALLEN) & (busy >= RISEN))[0]
    last = int(high[-1]) + 1 if len(high) else len(relative)
    return last if _long_enough(len(relative) - last, len(relative)) else len(relative)


@dataclass(frozen=True)
class _Swing:
    series: str
    period: float
    cycles: int


def _swing(line: Timeline, ramp: int, tail: int, steady: float) -> _Swing | None:
    """A lasting periodic swing in the middle part of any series that is busy beside the main one, the widest swing."""
    roles = table("timeline")["series"]
    best: tuple[float, _Swing] | None = None
    for key, values in line.series.items():
        part = _smooth(values[ramp:tail], 3)
        if roles[key]["role"] == "activity" and len(part) >= 20 and np.percentile(part, 95) >= max(5.0, 0.3 * steady):
            found = _periodic(part)
            if found and (best is None or found[0] > best[0]):
                best = (found[0], _Swing(key, found[1] * line.interval_ns, found[2]))
    return best[1] if best else None


def _periodic(part: Values) -> tuple[float, float, int] | None:
    """(width of the swing relative to the upper level, period in samples, cycles), or None."""
    upper, lower = float(np.percentile(part, 92)), float(np.percentile(part, 8))
    if _width(part[: len(part) // 2], upper) < SWING or _width(part[len(part) // 2 :], upper) < SWING:
        return None
    middle, band = (upper + lower) / 2, 0.15 * (upper - lower)
    if not DUTY <= float(np.mean(part > middle)) <= 1 - DUTY:
        return None
    state, rises = bool(part[0] > middle), []
    for index, value in enumerate(part):
        if not state and value > middle + band:
            state = True
            rises.append(index)
        elif state and value < middle - band:
            state = False
    periods = np.diff(rises)
    if len(periods) < 2 or np.median(periods) < 4 or np.std(periods) > REGULAR * np.mean(periods):
        return None
    return (upper - lower) / upper, float(np.mean(periods)), len(periods) + 1


def _width(part: Values, upper: float) -> float:
    return float(np.percentile(part, 92) - np.percentile(part, 8)) / upper if upper > 0 else 0.0


def _middle(relative: Values, ramp: int, tail: int, swing: _Swing | None) -> list[Phase]:
    """The phases in order; the middle part is one sawtooth, or steady parts with gaps between them."""
    phases = [_phase("ramp", 0, ramp, relative)] if ramp else []
    if swing:
        phases.append(_phase("sawtooth", ramp, tail, relative, swing.period))
    else:
        at = ramp
        for start, end in _gaps(relative, ramp, tail):
            if start > at:
                phases.append(_phase("steady", at, start, relative))
            phases.append(_phase("gap", start, end, relative))
            at = end
        phases.append(_phase("steady", at, tail, relative))
    if tail < len(relative):
        last = _phase("tail", tail, len(relative), relative)
        phases.append(replace(last, kind="ramp", falling=True) if _falls_steadily(relative, tail) else last)
    return [phase for phase in phases if phase.end > phase.start]


def _falls_steadily(relative: Values, tail: int) -> bool:
    """Whether the end is long and a straight line downwards: work that grows with the block's index, not a few late blocks."""
    part = np.clip(relative[tail:], 0, 1)
    if len(part) < max(20, FALLING * len(relative)) or np.mean(part[: len(part) // 8]) < 0.6:
        return False
    places = np.arange(len(part))
    slope, start = np.polyfit(places, part, 1)
    rest = part - (slope * places + start)
    return bool(slope < 0 and np.var(rest) < STRAIGHT * np.var(part))


def _phase(kind: Kind, start: int, end: int, relative: Values, period: float | None = None) -> Phase:
    return Phase(kind, start, end, float(np.mean(relative[start:end])) if end > start else 0.0, period)


def _gaps(relative: Values, ramp: int, tail: int) -> list[tuple[int, int]]:
    """(start, end) of idle runs inside the middle part."""
    found: list[tuple[int, int]] = []
    start: int | None = None
    for index in range(ramp, tail + 1):
        idle = index < tail and relative[index] < LOW
        if idle and start is None:
            start = index
        elif not idle and start is not None:
            if index < tail and index - start >= MIN_SAMPLES and index - start >= 0.01 * len(relative):
                found.append((start, index))
            start = None
    return found


def _shape(line: Timeline, phases: list[Phase], tail: int, waves: float | None, swing: _Swing | None) -> tuple[Shape, str]:
    """A lasting swing is a sawtooth; else the phase that leaves the most work undone names the shape, if it is enough."""
    total = line.samples
    ending, why = _ending(line, tail, waves)
    if any(phase.falling for phase in phases):
        return "ramp", "the level falls steadily to the end: each block works less or more than the one beside it"
    names: dict[str, Shape] = {"ramp": "ramp", "gap": "gaps", "tail": ending}
    shares: dict[str, float] = {phase.kind: 0.0 for phase in phases}
    lost: dict[str, float] = {"ramp": 0.0, "gap": 0.0, "tail": 0.0}
    for phase in phases:
        share = (phase.end - phase.start) / total
        shares[phase.kind] += share
        if phase.kind in lost:
            usual = START_NS / line.duration_ns if phase.kind == "ramp" else 0.0
            lost[phase.kind] += max(0.0, share - usual) * (1 - min(1.0, phase.level))
    if swing and shares.get("sawtooth", 0.0) >= SWING_TIME and max(lost.values()) < shares["sawtooth"]:
        return "sawtooth", f"{swing.series} swings {swing.cycles} times, period {swing.period / 1000:.1f} us"
    limits = {kind: LOST_AT[ending if kind == "tail" else kind] for kind in lost}
    kind = max(lost, key=lambda name: lost[name] / limits[name])
    if lost[kind] < limits[kind]:
        return "flat", f"ramp, gaps and tail leave only {100 * sum(lost.values()):.1f} % of the steady part's work undone"
    share = 100 * shares[kind]
    text = {
        "gap": f"little runs in {share:.0f} % of the time between busy parts",
        "ramp": f"it takes {share:.0f} % of the time to reach the steady level",
        "tail": f"{share:.0f} % of the time only a part of the GPU works: {why}",
    }
    return names[kind], text[kind]


def _ending(line: Timeline, tail: int, waves: float | None) -> tuple[Shape, str]:
    """tail: whole blocks of a last, partial wave run alone. imbalance: some blocks take longer than those beside them."""
    if waves is None:
        return "tail", "the number of waves was not collected, so it may be imbalance between blocks, too"
    if waves <= 1:
        return "imbalance", "all blocks started together and some run longer"
    partial = waves - int(waves)
    if partial < WHOLE or partial > 1 - WHOLE:
        return "imbalance", "the grid is a whole number of waves, so some blocks run longer"
    if line.samples - tail > ONE_BLOCK * max(tail, 1) / int(waves):
        return "imbalance", "that is longer than a block takes, so some blocks run longer"
    return "tail", f"the last wave fills {100 * partial:.0f} % of it"

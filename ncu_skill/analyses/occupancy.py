"""Occupancy: what limits resident warps, and how many more the next limit would allow."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

LIMITS = ("registers", "shared", "warps", "blocks")
FEW_WAVES, FEW_PCT, ROOM_PCT = 0.3, 30.0, 45.0  # a grid below both leaves warp slots empty that the kernel could use


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds limited_by_<what> (1 where it is the lowest limit), occupancy_room, occupancy_gap_pct, block_size_room and few_warps."""
    limits = {name: facts.get(f"limit_{name}") for name in LIMITS}
    known = {name: value for name, value in limits.items() if value is not None}
    theoretical, achieved = facts.get("occupancy_theoretical_pct"), facts.get("occupancy_achieved_pct")
    if theoretical is not None and achieved is not None:
        facts.add("occupancy_gap_pct", max(0.0, theoretical - achieved), "points", "theoretical - achieved occupancy")
    waves = facts.get("waves")
    if waves is not None and theoretical is not None and achieved is not None:
        few = waves < FEW_WAVES and achieved < FEW_PCT and theoretical >= ROOM_PCT
        told = f"the grid is under {FEW_WAVES:g} of a wave and keeps the SMs below {FEW_PCT:g} % of their warps"
        facts.add("few_warps", float(few), "", told)
    _block_size_room(kernel, facts)
    if len(known) < len(LIMITS):
        return
    lowest = min(known.values())
    order = ("blocks", "registers", "shared", "warps")
    first = next(name for name in order if known[name] == lowest)
    for name in LIMITS:
        facts.add(f"limited_by_{name}", float(name == first), "", f"launch__occupancy_limit_{name}")
    if theoretical:
        facts.add("occupancy_room", 100 / theoretical, "times", "100 / theoretical occupancy")


def _block_size_room(kernel: Kernel, facts: Facts) -> None:
    """block_size_room: times more warps that the best block size would hold with the same registers and shared memory per block."""
    warps, sizes = kernel.instances("launch__occupancy_per_block_size")
    curve = {size: float(value) for value, size in zip(warps, sizes, strict=True) if isinstance(size, int) and not isinstance(value, str)}
    threads = facts.get("block_threads")
    if not curve or not threads:
        return
    rounded = -(-int(threads) // 32) * 32
    here = curve.get(int(threads), curve.get(rounded, 0.0))
    if here and not facts.number("limit_shared") < min(facts.number(f"limit_{name}", 99.0) for name in ("registers", "warps", "blocks")):
        facts.add("block_size_room", max(curve.values()) / here, "times", "launch__occupancy_per_block_size: best / here")

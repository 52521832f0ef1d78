"""Balance: how evenly SMs and L2 slices are used."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

LONG_BLOCK_CYCLES = 20_000  # below this, starting blocks explains the occupancy gap


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds sm_idle (part of the run that the average SM idles), sm_spread, ragged_warps and l2_slice_ratio."""
    average, elapsed = facts.get("sm_active_avg"), facts.get("sm_elapsed")
    low, high = facts.get("sm_active_min"), facts.get("sm_active_max")
    if average is not None and elapsed:
        facts.add("sm_idle", max(0.0, 1 - average / elapsed), "of run time", "1 - sm__cycles_active.avg / sm__cycles_elapsed")
    if average is not None and high:
        facts.add("sm_spread", max(0.0, 1 - average / high), "of the busiest SM", "1 - sm__cycles_active.avg / .max")
    if low is not None and high:
        facts.add("sm_lowest", low / high, "of the busiest SM", "sm__cycles_active.min / .max")
    _ragged(facts)
    sectors, busiest = facts.get("l2_sectors_avg"), facts.get("l2_sectors_max")
    if sectors and busiest is not None:
        facts.add("l2_slice_ratio", busiest / sectors, "times the average", "lts__t_sectors.max / .avg")


def _ragged(facts: Facts) -> None:
    """ragged_warps: part of the warp slots that blocks hold while most of their warps have finished."""
    waves, elapsed, gap, theoretical = (facts.get(key) for key in ("waves", "sm_elapsed", "occupancy_gap_pct", "occupancy_theoretical_pct"))
    if not waves or not elapsed or gap is None or not theoretical or waves < 1:
        return
    if elapsed / waves >= LONG_BLOCK_CYCLES and facts.number("tail_waste") < 0.1:
        facts.add("ragged_warps", gap / theoretical, "of warp slots", "(theoretical - achieved) / theoretical occupancy, blocks live long")

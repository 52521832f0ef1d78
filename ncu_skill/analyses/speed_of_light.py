"""Speed of light: the busiest unit of the whole launch and of the pipes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

UNITS = ("dram_pct", "l2_pct", "l1_pct", "fma_pct", "alu_pct", "fp64_pct", "xu_pct", "tensor_pct", "lsu_pct", "fmaheavy_pct", "issue_pct")
WHOLE_LAUNCH = frozenset({"dram_pct", "l2_pct", "l1_pct"})
CEILING = 0.95  # of peak: what own saturating kernels reach
CEILINGS = {"dram_pct": 0.92, "l2_pct": 1.05, "l1_pct": 1.0}
MIN_KERNEL_NS = 3000.0
SHARED_DOMINATES = 0.75
PIPES = ("fma_pct", "alu_pct", "fp64_pct", "xu_pct", "tensor_pct", "fmaheavy_pct")


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds busiest_pct (any unit), memory_pct (of DRAM, L2, L1), pipe_pct (of the arithmetic pipes), global_pct and global_wait."""
    facts.add("busiest_pct", max((facts.number(unit) for unit in UNITS), default=None), "%", "busiest of DRAM, L2, L1, pipes, issue")
    facts.add("memory_pct", max(facts.number(unit) for unit in UNITS[:3]), "%", "busiest of DRAM, L2, L1")
    _global(facts)
    facts.add("pipe_pct", max(facts.number(unit) for unit in PIPES), "%", "busiest arithmetic pipe")


def _global(facts: Facts) -> None:
    """global_pct and global_wait: L1 and the stall shares count shared memory too; where it has the data stage, global memory has not."""
    shared, near = facts.number("shared_pct"), facts.number("l1_pct")
    near = near if shared < SHARED_DOMINATES * near else near - shared
    facts.add(
        "global_pct", max(facts.number("dram_pct"), facts.number("l2_pct"), near), "%", "busiest of DRAM, L2, L1 without shared memory"
    )
    waits = sum(facts.number(f"stall_{state}") for state in ("long_scoreboard", "lg_throttle", "drain"))
    facts.add("global_wait", waits, "of warp time", "stall reasons long scoreboard, LG throttle and drain")


def load(facts: Facts, unit: str) -> float:
    """Load of a unit over the whole launch (0 to 1): pipes are measured while their SM is active, so an idle SM scales them down."""
    active, elapsed = facts.get("sm_active_avg"), facts.get("sm_elapsed")
    scale = min(1.0, active / elapsed) if unit not in WHOLE_LAUNCH and active is not None and elapsed else 1.0
    return facts.number(unit) * scale / 100


def next_bound(facts: Facts, keeps: Mapping[str, float]) -> float:
    """How many times faster the launch can get before some unit is at its ceiling.

    `keeps` gives, per unit, the part of its load that the faster kernel still has (0: no bound, 1 where not named).
    A kernel is not faster than MIN_KERNEL_NS either. Never below 1; infinite where no unit is loaded.
    """
    loads = [load(facts, unit) * keeps.get(unit, 1.0) / CEILINGS.get(unit, CEILING) for unit in UNITS]
    loads.append(MIN_KERNEL_NS / max(facts.number("duration_ns", math.inf), 1.0))
    worst = max(loads)
    return max(1.0, 1 / worst) if worst > 0 else math.inf

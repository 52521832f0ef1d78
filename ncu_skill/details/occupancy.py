"""Occupancy: what limits resident warps, and the curves of what other sizes would allow."""

from __future__ import annotations

from typing import Any

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

CURVES = {
    "registers_per_thread": ("launch__occupancy_per_register_count", "registers"),
    "block_threads": ("launch__occupancy_per_block_size", "block_threads"),
    "shared_bytes_per_block": ("launch__occupancy_per_shared_mem_size", "shared_bytes"),
    "cluster_blocks": ("launch__occupancy_per_cluster_size", ""),
}
LIMITS = ("registers", "shared", "warps", "blocks")


def table(kernel: Kernel, facts: Facts, samples: Samples) -> dict[str, Any]:
    """{theoretical_pct, achieved_pct, limiters, blocks_per_sm, curves}.

    A curve is a list of {at, warps}: from `at` on (up to the next entry) that many warps fit one SM. `now` is this launch.
    """
    limits = {name: facts.get(f"limit_{name}") for name in LIMITS}
    known = {name: value for name, value in limits.items() if value is not None}
    lowest = min(known.values(), default=None)
    return {
        "theoretical_pct": facts.get("occupancy_theoretical_pct"),
        "achieved_pct": facts.get("occupancy_achieved_pct"),
        "limiters": [name for name, value in known.items() if value == lowest],
        "blocks_per_sm": known,
        "curves": {name: {"now": facts.get(fact), "steps": steps(kernel, metric)} for name, (metric, fact) in CURVES.items()},
    }


def steps(kernel: Kernel, metric: str) -> list[dict[str, float]]:
    """A what-if curve without its flat parts."""
    warps, sizes = kernel.instances(metric)
    points = sorted(
        (int(size), float(value)) for size, value in zip(sizes, warps, strict=True) if isinstance(size, int) and not isinstance(value, str)
    )
    found: list[dict[str, float]] = []
    for size, value in points:
        if not found or found[-1]["warps"] != value:
            found.append({"at": size, "warps": value})
    return found

"""Balance: how evenly SMs, sub-partitions, L2 slices and memory channels are used."""

from __future__ import annotations

from typing import Any

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

UNITS = {
    "SM": "sm__cycles_active",
    "sub-partition": "smsp__cycles_active",
    "L1": "l1tex__cycles_active",
    "L2 slice": "lts__cycles_active",
    "device memory channel": "dram__cycles_active",
}


def table(kernel: Kernel, facts: Facts, samples: Samples) -> list[dict[str, Any]]:
    """Rows {unit, average, lowest, highest, spread} in active cycles; spread is 1 - average / highest."""
    found = []
    for unit, metric in UNITS.items():
        average, lowest, highest = (kernel.number(f"{metric}.{kind}") for kind in ("avg", "min", "max"))
        if average is not None and highest:
            spread = max(0.0, 1 - average / highest)
            found.append({"unit": unit, "average": average, "lowest": lowest, "highest": highest, "spread": round(spread, 4)})
    return found

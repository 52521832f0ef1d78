"""Details: tables behind the diagnosis, one file each, from one launch to JSON-ready rows with units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ncu_skill.details import balance, memory, occupancy, patterns, roofline, tensor
from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

TABLES: dict[str, Callable[[Kernel, Facts, Samples], Any]] = {
    "roofline": roofline.table,
    "occupancy": occupancy.table,
    "balance": balance.table,
    "memory": memory.table,
    "tensor": tensor.table,
    "patterns": patterns.table,
}


def run(kernel: Kernel, facts: Facts, samples: Samples) -> dict[str, Any]:
    """Every table of one launch by name."""
    return {name: table(kernel, facts, samples) for name, table in TABLES.items()}

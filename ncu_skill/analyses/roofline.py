"""Roofline: work and arithmetic intensity per precision against the chip's peaks."""

from __future__ import annotations

import re

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

_TENSOR_OPS = re.compile(r"sm__ops_path_tensor_(?:op_\w+?_)?src_(\w+?)(?:_dst_\w+?)?(?:_sparsity_(?:on|off))?\.sum$")


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds tensor_ops_<precision> (operations executed on tensor pipes) and tensor_ops_per_byte."""
    total = 0.0
    sums: dict[str, float] = {}
    for name in kernel.metric_names:
        if name.endswith(".sum") and name.startswith("sm__ops_path_tensor"):
            match = _TENSOR_OPS.match(name)
            value = kernel.number(name) if match else None
            if match and value:
                sums[match[1]] = sums.get(match[1], 0.0) + value
                total += value
    for precision, value in sums.items():
        facts.add(f"tensor_ops_{precision}", value, "op", "sm__ops_path_tensor_*")
    moved = facts.get("dram_bytes")
    if total and moved:
        facts.add("tensor_ops_per_byte", total / moved, "op/byte", "tensor operations / DRAM bytes")

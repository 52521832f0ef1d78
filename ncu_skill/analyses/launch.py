"""Launch: how the grid covers the GPU, and what the last wave wastes."""

from __future__ import annotations

import math
import re

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

# Kernels that libraries launch to create inputs; profiling one of them instead of the kernel in question is a common mistake.
_PREPARATION = (
    "distribution_elementwise", "distribution_nullary", "fillfunctor", "random_from_to", "normal_kernel", "curand", "philox",
    "gen_sequenced", "arange", "elementwise_kernel_with_index", "generate_seed",
)  # fmt: skip
_WORDS = r"(?:^|\W)(?:init|fill|memset|initialize)(?:_(?:data|inputs?|arrays?|buffers?|random))?(?:_kernel)?\("


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds coverage_pct, tail_waste, lanes_in_block and prepares_data."""
    blocks, sms, waves = facts.get("grid_blocks"), facts.get("sm_count"), facts.get("waves")
    if blocks and sms:
        facts.add("coverage_pct", 100 * min(1.0, blocks / sms), "%", "launch__grid_size / launch__sm_count")
    if waves:
        whole = math.ceil(waves - 1e-9)
        facts.add("tail_waste", 1 - waves / whole if waves > 1 else 0.0, "of run time", "1 - waves / ceil(waves)")
        facts.add("whole_waves", math.floor(waves + 1e-9), "wave", "launch__waves_per_multiprocessor")
    threads = facts.get("block_threads")
    if threads:
        facts.add("lanes_in_block", threads / (math.ceil(threads / 32) * 32), "of lanes", "launch__block_size")
    facts.add("prepares_data", float(_prepares(kernel.name or kernel.function)), "", "kernel name")


def _prepares(name: str) -> bool:
    low = name.lower()
    return any(word in low for word in _PREPARATION) or re.search(_WORDS, low) is not None

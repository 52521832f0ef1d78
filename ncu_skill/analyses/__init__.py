"""Analyses: plain functions from one launch to facts with units, one file each, run in this order."""

from __future__ import annotations

from ncu_skill.analyses import (
    async_copy,
    atomics,
    balance,
    code,
    instructions,
    launch,
    memory,
    occupancy,
    roofline,
    speed_of_light,
    tensor,
    warp_states,
)
from ncu_skill.facts import Facts, read_catalog
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

ALL = (
    launch.analyse,
    occupancy.analyse,
    balance.analyse,
    warp_states.analyse,
    memory.analyse,
    instructions.analyse,
    tensor.analyse,
    async_copy.analyse,
    atomics.analyse,
    code.analyse,
    speed_of_light.analyse,
    roofline.analyse,
)


def run(kernel: Kernel) -> tuple[Facts, Samples]:
    """All facts of one launch, and its stall samples."""
    facts, samples = read_catalog(kernel), Samples(kernel)
    for analyse in ALL:
        analyse(kernel, facts, samples)
    return facts, samples


def quick(kernel: Kernel) -> tuple[Facts, Samples]:
    """Catalog and launch facts only, without samples or code."""
    facts, samples = read_catalog(kernel), Samples(kernel)
    launch.analyse(kernel, facts, samples)
    return facts, samples

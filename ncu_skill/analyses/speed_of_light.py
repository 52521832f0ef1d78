"""Speed of light: the busiest unit of the whole launch and of the pipes."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

UNITS = ("dram_pct", "l2_pct", "l1_pct", "fma_pct", "alu_pct", "fp64_pct", "xu_pct", "tensor_pct", "lsu_pct", "fmaheavy_pct", "issue_pct")
PIPES = ("fma_pct", "alu_pct", "fp64_pct", "xu_pct", "tensor_pct", "fmaheavy_pct")


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds busiest_pct (any unit), memory_pct (busiest of DRAM, L2, L1) and pipe_pct (busiest arithmetic pipe)."""
    facts.add("busiest_pct", max((facts.number(unit) for unit in UNITS), default=None), "%", "busiest of DRAM, L2, L1, pipes, issue")
    facts.add("memory_pct", max(facts.number(unit) for unit in UNITS[:3]), "%", "busiest of DRAM, L2, L1")
    facts.add("pipe_pct", max(facts.number(unit) for unit in PIPES), "%", "busiest arithmetic pipe")


def next_busiest(facts: Facts, relieved: frozenset[str]) -> float:
    """Busiest unit (0 to 1) among those that a fix does not relieve: the next bound."""
    return max((facts.number(unit) for unit in UNITS if unit not in relieved), default=0.0) / 100

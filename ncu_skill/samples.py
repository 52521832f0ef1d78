"""Stall samples: per stall reason and PC, joined with code and source lines."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import NamedTuple

from ncu_skill.model import Instruction, Place
from ncu_skill.report import Kernel
from ncu_skill.trace import Flow

PREFIX = "smsp__pcsamp_warps_issue_stalled_"
TOTAL = "smsp__pcsamp_sample_count"
RENAMED = {"no_instructions": "no_instruction", "no_inst": "no_instruction"}


class Hot(NamedTuple):
    """One sampled instruction: samples, share of all, and its main stall reason with that reason's samples."""

    pc: int
    samples: float
    share: float
    stall: str
    stall_samples: float


class Samples:
    """The samples of one launch; empty (total 0) when SourceCounters was not collected."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._producers: dict[tuple[int, str], list[Instruction]] = {}

    @cached_property
    def by_stall(self) -> dict[str, dict[int, float]]:
        """{stall reason: {PC: samples}} of the PCs that have any; `selected` is included, it is an issue."""
        found: dict[str, dict[int, float]] = {}
        for name in self._kernel.metric_names:
            if name.startswith(PREFIX) and not name.endswith("_not_issued") and "." not in name:
                reason = name[len(PREFIX) :]
                if self._kernel.number(name) == 0:  # the sum: no need to read thousands of zeros
                    continue
                values = {pc: count for pc, count in self._kernel.per_pc(name).items() if count}
                if values:
                    found[RENAMED.get(reason, reason)] = values
        return found

    @cached_property
    def total(self) -> float:
        return sum(sum(values.values()) for values in self.by_stall.values())

    def share(self, stall: str) -> float:
        """Part of all samples with this reason (0 to 1)."""
        values = self.by_stall.get(stall)
        return sum(values.values()) / self.total if values and self.total else 0.0

    @cached_property
    def code(self) -> dict[int, Instruction]:
        return {instruction.pc: instruction for instruction in self._kernel.instructions}

    @cached_property
    def flow(self) -> Flow:
        return Flow(self._kernel.instructions)

    @cached_property
    def hot(self) -> list[Hot]:
        """Sampled instructions, hottest first."""
        sums: dict[int, float] = defaultdict(float)
        best: dict[int, tuple[float, str]] = {}
        for reason, values in self.by_stall.items():
            for pc, count in values.items():
                sums[pc] += count
                if count > best.get(pc, (0.0, ""))[0]:
                    best[pc] = (count, reason)
        rows = [Hot(pc, count, count / self.total, best[pc][1], best[pc][0]) for pc, count in sums.items()]
        return sorted(rows, key=lambda row: (-row.samples, row.pc))

    def hottest(self, stall: str, limit: int = 8) -> list[tuple[int, float]]:
        """(PC, share of all samples) of one stall reason, hottest first."""
        rows = sorted([(-count, pc) for pc, count in self.by_stall.get(stall, {}).items() if count])
        return [(pc, -count / self.total) for count, pc in rows[:limit]]

    def producers(self, pc: int, stall: str) -> list[Instruction]:
        """What the instruction at `pc` waits for, nearest first."""
        key = (pc, stall)
        if key not in self._producers:
            self._producers[key] = self.flow.producers(pc, stall)
        return self._producers[key]

    def share_by_producer(self, stall: str) -> dict[str, float]:
        """{class of the producing instruction: share of all samples} for one stall reason."""
        found: dict[str, float] = defaultdict(float)
        for pc, share in self.hottest(stall, limit=24):
            made = self.producers(pc, stall)
            for instruction in made:
                found[instruction.kind] += share / len(made)
            if not made:
                found["unknown"] += share
        return dict(found)

    def place(self, pc: int) -> Place | None:
        return self._kernel.place(pc)

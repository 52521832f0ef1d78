"""Values of a comparison: the launches of one kernel on one side, pairs, and the interval of a measured speedup."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ncu_skill import analyses
from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

Verdict = Literal["faster", "slower", "same", "inconclusive"]
MAX_ANALYSED = 3
KEPT = 9


@dataclass
class Side:
    """The launches of one kernel, grid and block in one report: replicates of each other.

    `kernels` are the first ones, at most KEPT when filled by `add`; of `further` ones only (launch, duration in ns) is kept, so that
    a report of ten thousand launches does not stay in memory.
    """

    kernels: list[Kernel]
    nvtx: tuple[str, ...] = ()
    further: list[tuple[int, float]] = field(default_factory=list)

    def add(self, kernel: Kernel) -> None:
        if len(self.kernels) < KEPT:
            self.kernels.append(kernel)
        else:
            self.further.append((kernel.launch, kernel.duration_ns or 0.0))

    @property
    def launches(self) -> list[int]:
        return [*(kernel.launch for kernel in self.kernels), *(launch for launch, _ in self.further)]

    @property
    def name(self) -> str:
        return self.kernels[0].name

    @property
    def grid(self) -> tuple[int, int, int]:
        return self.kernels[0].grid

    @property
    def block(self) -> tuple[int, int, int]:
        return self.kernels[0].block

    @cached_property
    def durations_ns(self) -> list[float]:
        kept = [duration for kernel in self.kernels if (duration := kernel.duration_ns)]
        return kept + [duration for _, duration in self.further if duration]

    @property
    def duration_ns(self) -> float | None:
        """Median duration; None where no launch has one."""
        return statistics.median(self.durations_ns) if self.durations_ns else None

    @property
    def total_ns(self) -> float:
        return sum(self.durations_ns)

    @cached_property
    def median(self) -> Kernel:
        """The launch of median duration, or the kept one nearest to it."""
        ranked = sorted(self.kernels, key=lambda kernel: kernel.duration_ns or 0.0)
        if not self.further:
            return ranked[len(ranked) // 2]
        wanted = self.duration_ns or 0.0
        return min(ranked, key=lambda kernel: abs((kernel.duration_ns or 0.0) - wanted))

    @cached_property
    def analysed(self) -> list[tuple[Kernel, Facts, Samples]]:
        """Facts and samples of up to three launches, the median one first."""
        chosen = [self.median, *(kernel for kernel in self.kernels if kernel is not self.median)][:MAX_ANALYSED]
        return [(kernel, *analyses.run(kernel)) for kernel in chosen]

    def values(self, key: str) -> list[float]:
        """One fact of every analysed launch that holds it."""
        return [value for _, facts, _ in self.analysed if (value := facts.get(key)) is not None]


@dataclass
class Pair:
    """Two sides that are the same kernel, or what became of it. `matched_by` says how they were joined, similarity is 0 to 1."""

    base: Side
    candidate: Side
    matched_by: str
    similarity: float = 1.0


@dataclass(frozen=True)
class Interval:
    """A speedup (base over candidate) with the range in which a repetition of the two measurements lands in 95 of 100 cases."""

    speedup: float
    low: float
    high: float


@dataclass
class Comparability:
    """Whether times of two reports may be compared: `reasons` forbid it, `cautions` do not."""

    reasons: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.reasons

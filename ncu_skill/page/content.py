"""Content: everything that a page about one launch shows, gathered once from the engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ncu_skill import analyses
from ncu_skill import facade as verbs
from ncu_skill.facts import Facts
from ncu_skill.pmsampling import facade as pm
from ncu_skill.pmsampling.phases import Reading
from ncu_skill.pmsampling.series import Timeline
from ncu_skill.report import Kernel, Report
from ncu_skill.roofs import Roofs, roofs
from ncu_skill.source_view import SourceView

Document = dict[str, Any]
UNITS = (
    ("DRAM", "dram_pct"),
    ("L2", "l2_pct"),
    ("L1 and shared", "l1_pct"),
    ("tensor pipe", "tensor_pct"),
    ("FMA pipe", "fma_pct"),
    ("integer pipe", "alu_pct"),
    ("FP64 pipe", "fp64_pct"),
    ("transcendental", "xu_pct"),
    ("load and store", "lsu_pct"),
    ("issue slots", "issue_pct"),
)
TOP = 12


@dataclass
class Content:
    """One launch with its documents; figures and tables are computed when asked for."""

    report: Report
    kernel: Kernel
    redact: bool
    source_root: Path | None

    @cached_property
    def diagnosis(self) -> Document:
        return verbs.diagnose(self.report, launch=self.kernel.launch, redact=self.redact)

    @property
    def row(self) -> Document:
        found: Document = self.diagnosis["kernels"][0]
        return found

    @cached_property
    def analysed(self) -> tuple[Facts, SourceView]:
        facts, samples = analyses.run(self.kernel)
        return facts, SourceView(self.kernel, samples, source_root=self.source_root, redact=self.redact)

    @property
    def facts(self) -> Facts:
        return self.analysed[0]

    @property
    def view(self) -> SourceView:
        return self.analysed[1]

    @cached_property
    def groups(self) -> list[Document]:
        """The report's other kernels, one row per group."""
        found: list[Document] = verbs.summary(self.report, redact=self.redact)["groups"] if len(self.report) > 1 else []
        return found

    @cached_property
    def roofs(self) -> Roofs | None:
        return roofs(self.kernel)

    @cached_property
    def pm(self) -> tuple[Timeline | None, Reading | None, str | None]:
        return pm.read(self.kernel)

    @cached_property
    def units(self) -> list[tuple[str, float]]:
        """Percent of peak per unit, busiest first."""
        rows = [(label, value) for label, key in UNITS if (value := self.facts.get(key)) is not None]
        return sorted(rows, key=lambda row: -row[1])

    @cached_property
    def stalls(self) -> list[tuple[str, float]]:
        """Percent of samples per stall reason, or of warp time where no samples were taken."""
        samples = self.view.samples
        rows = [(name.replace("_", " "), 100 * samples.share(name)) for name in samples.by_stall]
        if not rows:
            rows = [
                (key.removeprefix("stall_").replace("_", " "), 100 * fact.value)
                for key, fact in self.facts.items()
                if key.startswith("stall_")
            ]
        return sorted((row for row in rows if row[1] >= 0.05), key=lambda row: -row[1])[:TOP]

    @cached_property
    def mix(self) -> list[tuple[str, float]]:
        """Percent of executed warp instructions per opcode."""
        values, names = self.kernel.instances("sass__inst_executed_per_opcode")
        counts = {str(name): float(value) for name, value in zip(names, values, strict=True) if not isinstance(value, str)}
        total = sum(counts.values()) or 1.0
        rows = sorted(counts.items(), key=lambda item: -item[1])[:TOP]
        return [(name, 100 * count / total) for name, count in rows if count]

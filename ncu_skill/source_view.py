"""Source view: samples, instructions and traffic of one launch per line, per function and per SASS instruction with its PTX."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ncu_skill.comparison.noise import table as noise_table
from ncu_skill.errors import MissingDependency, UnreadableReport
from ncu_skill.model import Place
from ncu_skill.producer import redact_path
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

Line = tuple[str, int]
Document = dict[str, Any]
Z95 = 1.96
MAX_FILE_BYTES = 8 << 20
MAX_COUNT = 1e18
COUNTS = {
    "executed": "inst_executed",
    "threads": "thread_inst_executed",
    "sectors": "memory_l2_theoretical_sectors_global",
    "sectors_ideal": "memory_l2_theoretical_sectors_global_ideal",
    "wavefronts": "memory_l1_wavefronts_shared",
    "wavefronts_ideal": "memory_l1_wavefronts_shared_ideal",
}


@dataclass
class Heat:
    """What one line gathered: samples by stall reason, PCs, and counts of COUNTS."""

    samples: float = 0.0
    stalls: Counter[str] = field(default_factory=Counter)
    pcs: dict[int, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class SourceView:
    """The launch by source line. `source_root` is searched for files that the report does not embed."""

    def __init__(self, kernel: Kernel, samples: Samples, *, source_root: Path | None = None, redact: bool = True) -> None:
        self.kernel, self.samples = kernel, samples
        self._root, self._redact = source_root, redact
        self._files: dict[str, list[str]] = {}

    @cached_property
    def per_pc(self) -> dict[str, dict[int, float]]:
        """The per-PC counts that the report holds."""
        found = {key: _counts(self.kernel.per_pc(name)) for key, name in COUNTS.items()}
        return {key: values for key, values in found.items() if values}

    @cached_property
    def by_stall(self) -> dict[str, dict[int, float]]:
        """{stall reason: {PC: samples}}"""
        return {reason: _counts(values) for reason, values in self.samples.by_stall.items()}

    @cached_property
    def sampled(self) -> dict[int, float]:
        """{PC: samples}"""
        found: dict[int, float] = defaultdict(float)
        for values in self.by_stall.values():
            for pc, count in values.items():
                found[pc] += count
        return dict(found)

    @cached_property
    def placement(self) -> dict[str, int]:
        """Where the samples fall: attributed + in_cubin_without_source + out_of_cubin = total."""
        found = {"total": int(sum(self.sampled.values())), "attributed": 0, "in_cubin_without_source": 0, "out_of_cubin": 0}
        for pc, count in self.sampled.items():
            home = "attributed" if pc in self.kernel.lines else "in_cubin_without_source" if pc in self.samples.code else "out_of_cubin"
            found[home] += int(count)
        return found

    @cached_property
    def lines(self) -> dict[Line, Heat]:
        """Heat by the user's own line, hottest first; instructions without a line are under ("", 0)."""
        found: dict[Line, Heat] = defaultdict(Heat)
        for reason, values in self.by_stall.items():
            for pc, count in values.items():
                heat = found[self._line(pc)]
                heat.samples += count
                heat.stalls[reason] += int(count)
                heat.pcs[pc] = heat.pcs.get(pc, 0.0) + count
        for key, values in self.per_pc.items():
            for pc, count in values.items():
                heat = found[self._line(pc)]
                heat.counts[key] += int(count)
                heat.pcs.setdefault(pc, 0.0)
        return dict(sorted(found.items(), key=lambda item: (-item[1].samples, item[0])))

    def _line(self, pc: int) -> Line:
        inner = self.kernel.innermost(pc)
        place = inner.own if inner else None
        return (place.file, place.line) if place else ("", 0)

    def functions(self) -> list[Document]:
        """Heat per function: the kernel itself and the functions inlined into it, hottest first."""
        found: Counter[str] = Counter()
        for pc, count in self.sampled.items():
            inner = self.kernel.innermost(pc)
            found[inner.function if inner else ""] += int(count)
        total = self.samples.total or 1.0
        return [
            {"name": short_name(name) if name else self.kernel.name, "inlined": bool(name), "share_pct": round(100 * count / total, 1)}
            for name, count in found.most_common()
            if count
        ]

    def rows(self, limit: int) -> Iterator[Document]:
        """The hottest lines; the keys are those of the hotspots document."""
        for line, heat in list(self.lines.items())[:limit]:
            if heat.samples:
                yield self.row(line, heat)

    def row(self, line: Line, heat: Heat) -> Document:
        """One line: share with its 95 % interval, stall reasons, what it waits for, executed instructions and memory traffic."""
        top = max(heat.pcs, key=lambda pc: (heat.pcs[pc], -pc))
        code = self.samples.code.get(top)
        stall = heat.stalls.most_common(1)[0][0] if heat.stalls else ""
        share = heat.samples / self.samples.total if self.samples.total else 0.0
        low, high = self.interval(share)
        document: Document = {
            "file": self.shown(line[0]),
            "line": line[1],
            "share_pct": round(100 * share, 1),
            "share_low_pct": round(100 * low, 1),
            "share_high_pct": round(100 * high, 1),
            "stall": stall,
            "stalls": [{"reason": name, "share_pct": round(100 * count / heat.samples, 1)} for name, count in heat.stalls.most_common(3)],
            "pc": top,
            "opcode": code.opcode if code else "",
            "producers": [self._producer(item.pc, item.opcode) for item in self.samples.producers(top, self._stall_at(top))[:3]],
            "text": self.text(line),
        }
        return document | self._counts(heat)

    def _stall_at(self, pc: int) -> str:
        return max(self.samples.by_stall, key=lambda reason: self.samples.by_stall[reason].get(pc, 0.0), default="")

    @staticmethod
    def _counts(heat: Heat) -> Document:
        found: Document = {"executed": heat.counts.get("executed"), "instructions": len(heat.pcs)}
        for kind in ("sectors", "wavefronts"):
            if heat.counts.get(kind):
                found[kind] = heat.counts[kind]
                found[f"excess_{kind}"] = max(0, heat.counts[kind] - heat.counts.get(f"{kind}_ideal", heat.counts[kind]))
        if heat.counts.get("executed") and heat.counts.get("threads"):
            found["lanes"] = round(heat.counts["threads"] / heat.counts["executed"], 1)
        return found

    def interval(self, share: float) -> tuple[float, float]:
        """95 % interval of a share of samples: binomial, widened by the over-dispersion that replicates show."""
        total = self.samples.total
        if not total:
            return 0.0, 0.0
        half = Z95 * math.sqrt(float(noise_table()["line_share"]["overdispersion"]) * share * (1 - share) / total)
        return max(0.0, share - half), min(1.0, share + half)

    def _producer(self, pc: int, opcode: str) -> Document:
        inner = self.kernel.innermost(pc)
        place = inner.own if inner else Place("", 0)
        return {"file": self.shown(place.file), "line": place.line, "pc": pc, "opcode": opcode, "text": self.text((place.file, place.line))}

    def shown(self, path: str) -> str:
        return redact_path(path) if self._redact else path

    def text(self, line: Line) -> str:
        """The text of one line, empty when neither the report nor the source root holds it."""
        rows = self.file(line[0])
        return rows[line[1] - 1].strip() if 0 < line[1] <= len(rows) else ""

    def file(self, path: str) -> list[str]:
        """Lines of a source file: embedded in the report, else below the source root (the longest matching path ending wins)."""
        if path not in self._files:
            text = self.kernel.source_files.get(path)
            if text is None and self._root is not None and path:
                text = _below(self._root, path)
            self._files[path] = text.splitlines() if text else []
        return self._files[path]

    @cached_property
    def ptx(self) -> dict[int, tuple[int, str]]:
        """{PC: (PTX line, text)}, empty without embedded PTX."""
        module = self.kernel.module
        if module is None or module.cubin is None or self.kernel.base_pc is None:
            return {}
        return module.cubin.ptx(self.kernel.mangled, self.kernel.base_pc)

    def sass(self, line: Line | None = None, limit: int = 400) -> list[Document]:
        """SASS in address order (of one line, or all): text, samples, executions and the PTX that it was made from."""
        wanted = sorted(self.lines[line].pcs) if line is not None else sorted(self.samples.code)
        wanted = wanted[:limit]
        texts = self._disassembled(wanted)
        base = self.kernel.base_pc or 0
        return [
            {
                "pc": pc,
                "offset": pc - base,
                "text": texts[index],
                "line": self._line(pc)[1],
                "share_pct": round(100 * self.sampled.get(pc, 0.0) / self.samples.total, 2) if self.samples.total else 0.0,
                "stall": self._stall_at(pc) if self.sampled.get(pc) else "",
                "executed": self.per_pc.get("executed", {}).get(pc),
                "ptx_line": self.ptx.get(pc, (None, ""))[0],
                "ptx": self.ptx.get(pc, (None, ""))[1],
            }
            for index, pc in enumerate(wanted)
        ]

    def _disassembled(self, pcs: list[int]) -> list[str]:
        """SASS text from the vendor's disassembler; without it, or when it fails, the decoded opcodes."""
        try:
            return [text.rstrip() for text in self.kernel.sass(pcs)]
        except (MissingDependency, UnreadableReport):
            return [self.samples.code[pc].opcode if pc in self.samples.code else "?" for pc in pcs]


def _counts(values: dict[int, float]) -> dict[int, float]:
    """The counts of a per-PC metric without what cannot be one (NaN, infinities, below zero) in a damaged report."""
    return {pc: value for pc, value in values.items() if 0 <= value < MAX_COUNT}


def _below(root: Path, path: str) -> str | None:
    """The text of the file below `root` whose path ends most like `path`; links that lead outside are not followed."""
    inside = root.resolve()
    matches = [found for found in root.rglob(Path(path).name) if found.is_file() and found.resolve().is_relative_to(inside)]
    matches = [found for found in matches if found.stat().st_size <= MAX_FILE_BYTES]
    if not matches:
        return None
    wanted = Path(path).parts[::-1]
    best = max(matches, key=lambda found: (_common(found.parts[::-1], wanted), str(found)))
    return best.read_text(encoding="utf-8", errors="replace")


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    count = 0
    for first, second in zip(a, b, strict=False):
        if first != second:
            break
        count += 1
    return count


_LENGTH = re.compile(r"(\d+)")


def short_name(mangled: str) -> str:
    """The readable part of an Itanium-mangled name: `_ZN4wmma8mma_syncE…` gives `wmma::mma_sync`. Other names are returned as they are."""
    if not mangled.startswith("_Z"):
        return mangled
    at = 3 if mangled.startswith("_ZN") else 2
    at += len(re.match(r"[KVrO]*", mangled[at:]).group()) if at == 3 else 0  # type: ignore[union-attr]
    parts = []
    while match := _LENGTH.match(mangled, at):
        size = int(match[1])
        at = match.end() + size
        parts.append(mangled[match.end() : at])
        if not mangled.startswith("_ZN"):
            break
    kept = [part for part in parts if part and not part.startswith(("_INTERNAL_", "_GLOBAL__N_"))]
    return "::".join(kept) or mangled

"""Compares our reader with NVIDIA's: names, values, units, instances, correlation ids, lines and SASS text of every launch of a report.

Usage: python benchmarks/ncu/parity.py [--step N] [REPORT...]; without reports the shipped corpora. Exit 1 where anything differs.
NVIDIA's reader answers at run time in this process (nothing of it is stored). Its unit() depends on what the process asked before,
also of other reports: every report gets a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ncu_skill import open_report
from ncu_skill.report import Kernel


def actions(path: Path) -> tuple[list[Any], Any]:
    """NVIDIA's launches of a report in file order, and what keeps them alive."""
    import ncu_report

    context = ncu_report.load_report(str(path))
    groups = [context.range_by_idx(index) for index in range(context.num_ranges())]
    return [group.action_by_idx(index) for group in groups for index in range(group.num_actions())], (context, groups)


def differences(kernel: Kernel, action: Any, counts: Counter[str]) -> Iterator[str]:
    """What differs in one launch; `counts` says how much was compared."""
    names = tuple(action.metric_names())
    if set(names) != set(kernel.metric_names):
        yield "metric names"
    units = {name: action.metric_by_name(name).unit() for name in names}  # in its own order: unit() depends on what was asked before
    yield from (f"{name}: unit" for name in names if kernel.units.get(name) != units[name])
    for name in names:
        yield from (f"{name}: {what}" for what in _metric(kernel, name, action.metric_by_name(name), counts))
    yield from _code(kernel, action, counts)


def _metric(kernel: Kernel, name: str, theirs: Any, counts: Counter[str]) -> Iterator[str]:
    held, keys = kernel.instances(name)
    ids = theirs.correlation_ids() if theirs.has_correlation_ids() else None
    counts["metrics"] += 1
    counts["instances"] += len(held)
    if not _same(kernel.value(name), theirs.value()):
        yield "value"
    if len(held) != theirs.num_instances():
        yield "number of instances"
    elif any(not _same(value, theirs.value(index)) for index, value in enumerate(held)):
        yield "instances"
    if ids is not None and any(not _same(key, ids.value(index)) for index, key in enumerate(keys)):
        yield "correlation ids"


def _code(kernel: Kernel, action: Any, counts: Counter[str]) -> Iterator[str]:
    pcs = [instruction.pc for instruction in kernel.instructions] or list(kernel.per_pc("inst_executed"))
    texts = kernel.sass(pcs)
    counts["PCs"] += len(pcs)
    for pc, text in zip(pcs, texts, strict=True):
        theirs, ours = action.source_info(pc), kernel.place(pc)
        if (theirs and (theirs.file_name(), theirs.line())) != (ours and (ours.file, ours.line)):
            yield f"line of {pc:#x}"
        if action.sass_by_pc(pc) != text:
            yield f"SASS of {pc:#x}"
    for instruction, text in zip(kernel.instructions, texts, strict=False):
        words = [word for word in text.replace(";", " ").split() if not word.startswith("@")]
        if words and words[0].split(".")[0] != instruction.opcode:
            yield f"opcode of {instruction.pc:#x}: {instruction.opcode}, not {words[0]}"


def _same(a: object, b: object) -> bool:
    return a == b or (a != a and b != b)  # noqa: PLR0124


def compare(path: Path, step: int = 1) -> tuple[list[str], Counter[str]]:
    """Differences and counts of every `step`-th launch of a report."""
    report, counts = open_report(path), Counter[str]()
    theirs, kept = actions(path)
    found = [] if len(theirs) == len(report) else [f"{path.name}: {len(report)} launches, not {len(theirs)}"]
    for launch in range(0, min(len(report), len(theirs)), step):
        kernel = report.kernel(launch)
        counts["launches"] += 1
        found += [f"{path.name} launch {launch}: {what}" for what in differences(kernel, theirs[launch], counts)]
    del kept
    return found, counts


def one(path: Path, step: int) -> int:
    """Compare one report in this process."""
    found, counts = compare(path, step)
    print(f"{path.name}: {', '.join(f'{count} {name}' for name, count in counts.items())}; {len(found)} differences", flush=True)
    print(*found[:20], sep="\n", end="\n" if found else "", flush=True)
    return 1 if found else 0


def each(paths: Sequence[Path], step: int) -> int:
    """Compare every report in a process of its own."""
    command = [sys.executable, __file__, "--step", str(step)]
    return max([subprocess.run([*command, str(path)], check=False).returncode for path in paths], default=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", type=Path, nargs="*")
    parser.add_argument("--step", type=int, default=1, help="compare every STEP-th launch")
    arguments = parser.parse_args()
    if len(arguments.reports) == 1:
        return one(arguments.reports[0], arguments.step)
    if arguments.reports:
        return each(arguments.reports, arguments.step)
    sys.path.insert(0, str(Path(__file__).parent))
    from score import REPORTS, unpacked

    with tempfile.TemporaryDirectory() as folder:
        homes = [unpacked(path, Path(folder) / path.name) for path in sorted(REPORTS.glob("*.tar.xz"))]
        return each([path for home in homes for path in sorted(home.glob("*.ncu-rep"))], arguments.step)


if __name__ == "__main__":
    sys.exit(main())

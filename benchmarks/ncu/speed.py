"""Speed of the diagnosis: against loading with ncu-report alone, on 50 MB with 12 kernels, and on 10,000 launches. Prints SPEED.md.

Usage: python benchmarks/ncu/speed.py FOLDER_WITH_REPORTS (for example ../shared/ncu). Fresh processes, in turns, medians of --repeat runs
after one that is not counted: Python may keep its bytecode, as it does for an installed package.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import merge
from score import REPORTS, unpacked

from ncu_skill import container, wire

LOAD = "import ncu_report; ncu_report.load_report({path!r})"
FIRST = (
    "import ncu_report; report = ncu_report.load_report({path!r}); "
    "report.range_by_idx(0).action_by_idx(0).metric_by_name('gpu__time_duration.sum').value()"
)
DIAGNOSE = "import ncu_skill; ncu_skill.diagnose({path!r})"
COMMAND = "from ncu_skill.cli import main; main()"
MEMORY = (  # the peak of this program's own memory: getrusage would count the parent's, too
    "import time; t = time.perf_counter(); import ncu_skill; ncu_skill.summary({path!r}); print(time.perf_counter() - t, "
    "next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
)
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LAUNCHES = 10_000
KEPT_METRICS = 40


def wall(code: str, path: Path, *words: str) -> float:
    """Seconds of a fresh interpreter that runs the code, from its start to its end."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code.format(path=str(path)), *words], stdout=subprocess.DEVNULL, check=True, env=ENVIRONMENT)
    return time.perf_counter() - begin


def columns(path: Path, repeat: int) -> list[list[float]]:
    """Seconds of: an interpreter that does nothing, load, load and one value, the command, the Python call; measured in turns."""
    runs = (("pass",), (LOAD,), (FIRST,), (COMMAND, "diagnose", str(path)), (DIAGNOSE,))
    rows = [[wall(code, path, *words) for code, *words in runs] for _ in range(repeat + 1)]
    return [list(column) for column in zip(*rows[1:], strict=True)]


def file_of(data: bytes, block: container.Block, result: bytes, copies: int, target: Path) -> Path:
    """A report with one result message `copies` times, the modules of `data` and the strings of `block`."""
    sources = [data[item.start : item.end] for part in container.blocks(data) for item in part.items if item.kind == "source"]
    payload = b"".join(struct.pack("<I", len(body)) + body for body in (*sources, *[result] * copies))
    header = (
        merge.encode(1 << 3)
        + merge.encode(len(sources))
        + merge.encode(2 << 3)
        + merge.encode(copies)
        + merge.field(4, data[slice(*block.strings)])
    )
    header += merge.encode(5 << 3) + merge.encode(len(payload))
    target.write_bytes(b"NVR\0" + struct.pack("<I", 2) + b"\x08\x07" + struct.pack("<I", len(header)) + header + payload)
    return target


def small_result(data: bytes, item: container.Item) -> bytes:
    """The real result message with its first metrics only."""
    found, kept = b"", 0
    for number, kind, a, b in wire.fields(data, item.start, item.end):
        if number in {17, 19} or (number == 13 and kept >= KEPT_METRICS):
            continue
        kept += number == 13
        found += (
            merge.encode(number << 3) + merge.encode(a)
            if kind == wire.VARINT
            else merge.field(number, data[a:b])
            if kind == wire.BYTES
            else b""
        )
    return found


def many_launches(path: Path, target: Path) -> Path:
    """10,000 small launches made from a real report."""
    data = path.read_bytes()
    block = next(block for block in container.blocks(data) if any(item.kind == "kernel" for item in block.items))
    item = next(item for item in block.items if item.kind == "kernel")
    return file_of(data, block, small_result(data, item), LAUNCHES, target)


def twelve_kernels(reports: Sequence[Path], folder: Path) -> Path:
    """The largest results of 12 different kernels in the given reports and the shipped corpora, merged into one report."""
    shipped = [path for name in ("corpus", "pairs") for path in unpacked(REPORTS / f"{name}.tar.xz", folder / name).glob("*.ncu-rep")]
    return merge.merge(merge.largest([*reports, *sorted(shipped)], 12), folder / "large.ncu-rep")


def busy(repeat: int, code: str, path: Path, *words: str) -> str:
    """Median wall time of fresh processes, and of the processor time that they used, in seconds."""
    walls, used = [], []
    for _ in range(repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(wall(code, path, *words))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return f"{statistics.median(walls):.2f} s ({statistics.median(used):.2f} s of processor time)"


def small_reports(reports: Sequence[Path], repeat: int) -> None:
    """The table of single-kernel reports."""
    print("| report | MB | load (s) | load and one value (s) | command (s) | ratio | fastest runs | without start | Python call / load |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in reports:
        measured = columns(path, repeat)
        start, load, value, command, call = map(statistics.median, measured)
        least = [min(column) for column in measured]
        ratios = (command / load, least[3] / least[1], (command - start) / (load - start), call / load)
        shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {path.stem} | {path.stat().st_size / 1e6:.1f} | {load:.3f} | {value:.3f} | {command:.3f} | {shown} |", flush=True)


def large_report(what: str, path: Path) -> None:
    """The lines of one report with many kernels."""
    print(f"\n{what}, {path.stat().st_size / 1e6:.0f} MB:\n")
    print(f"* load: {busy(5, LOAD, path)}")
    print(f"* `diagnose` (the five longest kernels): {busy(5, COMMAND, path, 'diagnose', str(path))}")
    print(f"* `diagnose --top 12`: {busy(5, COMMAND, path, 'diagnose', str(path), '--top', '12')}")


def main() -> None:
    """Print SPEED.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--large", type=Path, help="a report that `ncu` wrote of large_report.py")
    arguments = parser.parse_args()
    reports = sorted(arguments.folder.glob("*.ncu-rep"))
    print((Path(__file__).parent / "speed_head.md").read_text(encoding="utf-8"))
    small_reports(reports, arguments.repeat)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.large:
            large_report("One `ncu` run of large_report.py on an H200, 14 launches of 13 kernels", arguments.large)
        large_report("12 different kernels, merged", twelve_kernels(reports, folder))
        many = many_launches(max(reports, key=lambda path: path.stat().st_size), folder / "many.ncu-rep")
        done = subprocess.run(
            [sys.executable, "-c", MEMORY.format(path=str(many))], capture_output=True, text=True, check=True, env=ENVIRONMENT
        )
        took, memory = map(float, done.stdout.split())
        print(f"\n{LAUNCHES} launches, {many.stat().st_size / 1e6:.0f} MB: summary {took:.1f} s, peak {memory / 1024:.0f} MB")
        print(f"\nLoad average {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors.")


if __name__ == "__main__":
    main()

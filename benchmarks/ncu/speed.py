"""Speed of the diagnosis: against importing and loading with ncu-report alone, on a 50 MB report with 12 kernels, and on 10,000 launches.

Usage: python benchmarks/ncu/speed.py FOLDER_WITH_REPORTS (for example ../shared/ncu). Fresh processes, in turns, medians of --repeat runs
after one that is not counted: Python may keep its bytecode, as it does for an installed package.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from ncu_skill import container, wire

LOAD = "import time; t = time.perf_counter(); import ncu_report; ncu_report.load_report({path!r}); print(time.perf_counter() - t)"
DIAGNOSE = "import time; t = time.perf_counter(); import ncu_skill; ncu_skill.diagnose({path!r}); print(time.perf_counter() - t)"
WARM_DIAGNOSE = (
    "import ncu_skill, time; ncu_skill.diagnose; t = time.perf_counter(); ncu_skill.diagnose({path!r}); print(time.perf_counter() - t)"
)
MEMORY = (
    "import resource, time; t = time.perf_counter(); import ncu_skill; ncu_skill.summary({path!r}); "
    "print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LAUNCHES = 10_000
KEPT_METRICS = 40


def seconds(code: str, path: Path) -> list[float]:
    """What a fresh interpreter prints: seconds inside it, without its own start."""
    command = [sys.executable, "-c", code.format(path=str(path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return [float(word) for word in done.stdout.split()]


def columns(path: Path, repeat: int) -> list[list[float]]:
    """Seconds of import and load, import and diagnose, diagnose alone; measured in turns."""
    codes = (LOAD, DIAGNOSE, WARM_DIAGNOSE)
    rows = [[seconds(code, path)[0] for code in codes] for _ in range(repeat + 1)]
    return [list(column) for column in zip(*rows[1:], strict=True)]


def encode(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, payload: bytes) -> bytes:
    return encode(number << 3 | 2) + encode(len(payload)) + payload


def file_of(data: bytes, block: container.Block, result: bytes, copies: int, target: Path) -> Path:
    """A report with one result message `copies` times, the modules of `data` and the strings of `block`."""
    sources = [data[item.start : item.end] for part in container.blocks(data) for item in part.items if item.kind == "source"]
    payload = b"".join(struct.pack("<I", len(body)) + body for body in (*sources, *[result] * copies))
    header = encode(1 << 3) + encode(len(sources)) + encode(2 << 3) + encode(copies) + field(4, data[slice(*block.strings)])
    header += encode(5 << 3) + encode(len(payload))
    target.write_bytes(b"NVR\0" + struct.pack("<I", 2) + b"\x08\x07" + struct.pack("<I", len(header)) + header + payload)
    return target


def small_result(data: bytes, item: container.Item) -> bytes:
    """The real result message with its first metrics only."""
    found, kept = b"", 0
    for number, kind, a, b in wire.fields(data, item.start, item.end):
        if number in {17, 19} or (number == 13 and kept >= KEPT_METRICS):
            continue
        kept += number == 13
        found += encode(number << 3) + encode(a) if kind == wire.VARINT else field(number, data[a:b]) if kind == wire.BYTES else b""
    return found


def made(path: Path, folder: Path) -> tuple[Path, Path]:
    """(12 full kernels padded to 50 MB by the report's own results, 10,000 small launches) made from a real report."""
    data = path.read_bytes()
    block = next(block for block in container.blocks(data) if any(item.kind == "kernel" for item in block.items))
    item = next(item for item in block.items if item.kind == "kernel")
    large = file_of(data, block, data[item.start : item.end], 12, folder / "large.ncu-rep")
    return large, file_of(data, block, small_result(data, item), LAUNCHES, folder / "many.ncu-rep")


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    reports = sorted(arguments.folder.glob("*.ncu-rep"))
    print("| report | MB | import + load, ncu-report (s) | import + diagnose (s) | ratio | of the fastest runs | ours imported before |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for path in reports:
        measured = columns(path, arguments.repeat)
        (load, diagnosis, alone), fastest = map(statistics.median, measured), [min(column) for column in measured]
        ratios = f"{diagnosis / load:.2f} | {fastest[1] / fastest[0]:.2f} | {alone / load:.2f}"
        print(f"| {path.stem} | {path.stat().st_size / 1e6:.1f} | {load:.3f} | {diagnosis:.3f} | {ratios} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        largest = max(reports, key=lambda path: path.stat().st_size)
        large, many = made(largest, Path(folder))
        took = statistics.median(seconds(DIAGNOSE, large)[0] for _ in range(3))
        print(f"\n{large.stat().st_size / 1e6:.0f} MB with 12 kernels of {largest.stem}: diagnose {took:.2f} s")
        took, memory = seconds(MEMORY, many)
        print(f"{LAUNCHES} launches ({many.stat().st_size / 1e6:.0f} MB): summary {took:.1f} s, peak {memory:.0f} MB")


if __name__ == "__main__":
    main()

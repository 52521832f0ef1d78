"""Merges launches of several reports into one container: every result and module as it was, with name indices and module ids of their own.

A stand-in for the report that one `ncu` run would have written for these kernels. NVIDIA's reader opens it, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from ncu_skill import open_report, wire
from ncu_skill.report import Kernel, Report

METRIC, MODULE = 13, 15  # fields of a kernel result
NUM_SOURCES, NUM_RESULTS, SESSION, STRINGS, PAYLOAD, PROCESS = 1, 2, 3, 4, 5, 6  # fields of a block header
Launch = tuple[Path, int]


def encode(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, payload: bytes) -> bytes:
    return encode(number << 3 | wire.BYTES) + encode(len(payload)) + payload


def changed(data: wire.Buffer, start: int, end: int, number: int, value: int) -> bytes:
    """A message with another value in its varint field `number`."""
    found = b""
    for key, kind, a, b in wire.fields(data, start, end):
        if kind == wire.VARINT:
            found += encode(key << 3) + encode(value if key == number else a)
        else:
            found += encode(key << 3 | kind) + (encode(b - a) if kind == wire.BYTES else b"") + bytes(data[a:b])
    return found


def result(data: wire.Buffer, kernel: Kernel, index: dict[str, int], module: int) -> bytes:
    """A kernel's result with metric names by their place in `index` and `module` as its code."""
    found = []
    for key, kind, a, b in wire.fields(data, kernel._item.start, kernel._item.end):
        if kind == wire.VARINT:
            found.append(encode(key << 3) + encode(a))
        elif key == METRIC:
            name, behind = wire.varint(data, a + 1)  # field 1 comes first: our reader refuses any other order
            found.append(field(key, b"\x08" + encode(index[kernel._names[name]]) + bytes(data[behind:b])))
        elif key == MODULE:
            found.append(field(key, changed(data, a, b, 1, module)))
        else:
            found.append(encode(key << 3 | kind) + (encode(b - a) if kind == wire.BYTES else b"") + bytes(data[a:b]))
    return b"".join(found)


def block(sources: Sequence[bytes], results: Sequence[bytes], session: bytes, strings: bytes, process: bytes) -> bytes:
    """A block's header and payload."""
    payload = b"".join(struct.pack("<I", len(body)) + body for body in (*sources, *results))
    header = encode(NUM_SOURCES << 3) + encode(len(sources)) + encode(NUM_RESULTS << 3) + encode(len(results))
    header += field(SESSION, session) + field(STRINGS, strings) + encode(PAYLOAD << 3) + encode(len(payload)) + field(PROCESS, process)
    return struct.pack("<I", len(header)) + header + payload


def launch_blocks(report: Report, launch: int, index: dict[str, int], module: int) -> Iterator[bytes]:
    """What the file gets for one launch: its report's session facts, the parts of its module, the names not yet in `index`, its result."""
    data, kernel = report._data, report.kernel(launch)
    items = [item for part in report._blocks for item in part.items if item.kind == "source"]
    sources = [item for item in items if wire.message(data, item.start, item.end).get(1) == kernel._module_id]
    process = next(bytes(data[slice(*part.process)]) for part in report._blocks if kernel._item in part.items)
    for part in report._blocks:
        if part.session[0] < part.session[1]:
            yield block((), (), bytes(data[slice(*part.session)]), b"", process)
    for item in sources:
        yield block([changed(data, item.start, item.end, 1, module)], (), b"", b"", process)
    new = [name for name in report._strings if name not in index]  # NVIDIA's reader crashes on a name that the file holds twice
    for name in new:
        index[name] = len(index)
    yield block((), [result(data, kernel, index, module)], b"", b"".join(field(1, name.encode()) for name in new), process)


def merge(launches: Sequence[Launch], target: Path) -> Path:
    """Writes one report with the given (file, launch) results, in that order."""
    index: dict[str, int] = {}
    with target.open("wb") as file:
        file.write(b"NVR\0" + struct.pack("<I", 2) + b"\x08\x07")
        for number, (path, launch) in enumerate(launches):
            file.writelines(launch_blocks(open_report(path), launch, index, (number + 1) << 32 | 1))
    return target


def largest(paths: Sequence[Path], count: int) -> list[Launch]:
    """The largest results of `count` different kernels in the given reports, largest first."""
    best: dict[str, tuple[int, Path, int]] = {}
    for path in paths:
        for kernel in open_report(path):
            size = kernel._item.end - kernel._item.start
            if kernel.workload == "kernel" and kernel.module is not None and size > best.get(kernel.function, (0,))[0]:
                best[kernel.function] = (size, path, kernel.launch)
    ranked = sorted(best.values(), key=lambda row: (-row[0], row[1], row[2]))
    return [(path, launch) for _, path, launch in ranked[:count]]

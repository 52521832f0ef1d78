"""Makes the report corpus fit to ship: drops launches of library kernels with their code, and host facts, then packs a tar.xz.

Usage: python benchmarks/ncu/strip.py FOLDER_WITH_REPORTS tests/ncu_skill/reports/corpus.tar.xz
"""

from __future__ import annotations

import io
import lzma
import struct
import sys
import tarfile
from pathlib import Path

from ncu_skill import container, open_report, wire

DROPPED = ("nvjet", "cutlass", "cublas", "at::native")
HOST_FIELDS = {3, 4}


def encode(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def rewritten(data: bytes, start: int, end: int, drop: set[int], inside: dict[int, set[int]]) -> bytes:
    """A message without the fields `drop`, and without the fields `inside[n]` of its field n."""
    found = b""
    for number, kind, a, b in wire.fields(data, start, end):
        if number in drop:
            continue
        if kind == wire.VARINT:
            found += encode(number << 3) + encode(a)
        elif kind == wire.BYTES:
            body = rewritten(data, a, b, inside[number], {}) if number in inside else data[a:b]
            found += encode(number << 3 | kind) + encode(len(body)) + body
        else:
            found += encode(number << 3 | kind) + data[a:b]
    return found


def strip(path: Path) -> bytes:
    """The report's bytes without the dropped launches."""
    report, data = open_report(path), path.read_bytes()
    kernels = list(report.kernels)
    gone = {kernel._item for kernel in kernels if any(word in kernel.name for word in DROPPED)}
    kept = {kernel._module_id for kernel in kernels if kernel._item not in gone}
    size = struct.unpack_from("<I", data, 4)[0]
    found = [data[: 8 + size]]
    for block in container.blocks(data):
        modules = [wire.message(data, item.start, item.end).get(1, 0) for item in block.items if item.kind == "source"]
        empty = any(item in gone for item in block.items) or (bool(modules) and not kept & set(modules))
        header = rewritten(data, *block.header, {1, 2, 5} if empty else set(), {3: HOST_FIELDS})
        payload = b"" if empty else b"".join(struct.pack("<I", item.end - item.start) + data[item.start : item.end] for item in block.items)
        found += [struct.pack("<I", len(header)), header, payload]
    return b"".join(found)


def main(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 128 << 20}]
    with lzma.open(target, "w", filters=filters) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for path in [folder / "cases.txt", *sorted(folder.glob("*.ncu-rep"))]:
            body = strip(path) if path.suffix == ".ncu-rep" else path.read_bytes()
            entry = tarfile.TarInfo(path.name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

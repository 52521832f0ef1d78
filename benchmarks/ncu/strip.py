"""Makes the report corpus fit to ship: drops the code of library kernels, named launches and host facts, then packs a tar.xz.

Usage: python benchmarks/ncu/strip.py FOLDER_WITH_REPORTS tests/ncu_skill/reports/corpus.tar.xz [FUNCTION_TO_DROP...]
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ncu_skill import container, open_report, wire
from ncu_skill.report import Kernel

LIBRARY = ("nvjet", "cutlass", "cublas", "at::native")  # their launches stay, their code is not ours to ship
HOST_FIELDS = {3, 4}
METRIC, SECTION = 13, 17  # fields of a kernel result
SECTION_KEPT = {1, 2, 3}  # of a section: identifier, name, order; the rest describes the page that shows it
SERIES = ("pmsampling:", ".Triage")


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


def only(data: bytes, start: int, end: int, kept: set[int]) -> bytes:
    """A message with the fields `kept` alone."""
    return rewritten(data, start, end, {number for number, _, _, _ in wire.fields(data, start, end)} - kept, {})


def result(data: bytes, kernel: Kernel, *, series: bool) -> bytes:
    """A kernel's result with short sections, and without PM series unless wanted."""
    gone = set() if series else {place for name, place in kernel._metrics.items() if any(word in name for word in SERIES)}
    found = []
    for number, kind, a, b in wire.fields(data, kernel._item.start, kernel._item.end):
        if kind == wire.VARINT:
            found.append(encode(number << 3) + encode(a))
        elif number == SECTION:
            body = only(data, a, b, SECTION_KEPT)
            found.append(encode(number << 3 | kind) + encode(len(body)) + body)
        elif (a, b) not in gone:
            found.append(encode(number << 3 | kind) + (encode(b - a) if kind == wire.BYTES else b"") + data[a:b])
    return b"".join(found)


def strip(path: Path, dropped: Sequence[str] = (), series: Sequence[bool] | None = None) -> bytes:
    """The report's bytes without library code and without the launches of the dropped functions.

    With `series` (one truth value per launch) results are shortened, and keep their PM series where it says so.
    """
    report, data = open_report(path), path.read_bytes()
    kernels = list(report.kernels)
    gone = {kernel._item for kernel in kernels if kernel.function in dropped}
    library = {kernel._item for kernel in kernels if any(word in kernel.name for word in LIBRARY)}
    kept = {kernel._module_id for kernel in kernels if kernel._item not in gone | library}
    short = {}
    if series is not None:
        short = {kernel._item: result(data, kernel, series=keep) for kernel, keep in zip(kernels, series, strict=True)}
    size = struct.unpack_from("<I", data, 4)[0]
    found = [data[: 8 + size]]
    for block in container.blocks(data):
        modules = [wire.message(data, item.start, item.end).get(1, 0) for item in block.items if item.kind == "source"]
        empty = any(item in gone for item in block.items) or (bool(modules) and not kept & set(modules))
        bodies = [] if empty else [short.get(item, data[item.start : item.end]) for item in block.items]
        payload = b"".join(struct.pack("<I", len(body)) + body for body in bodies)
        header = rewritten(data, *block.header, {1, 2, 5} if empty else {5}, {3: HOST_FIELDS})
        if not empty:
            header += encode(5 << 3) + encode(len(payload))
        found += [struct.pack("<I", len(header)), header, payload]
    return b"".join(found)


def wanted_series(folder: Path, path: Path) -> list[bool] | None:
    """Launches whose PM series ship, by index.json: the first of each case that it lists under `series`."""
    index = folder / "index.json"
    if not index.is_file():
        return None
    document = json.loads(index.read_text(encoding="utf-8"))
    names = document["launches"][path.stem]
    return [name in document["series"] and name not in names[:at] for at, name in enumerate(names)]


def main(folder: Path, target: Path, dropped: Sequence[str]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 128 << 20}]
    with lzma.open(target, "w", filters=filters) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        texts = [path for path in sorted(folder.iterdir()) if path.suffix in {".txt", ".json"}]
        for path in [*texts, *sorted(folder.glob("*.ncu-rep"))]:
            body = strip(path, dropped, wanted_series(folder, path)) if path.suffix == ".ncu-rep" else path.read_bytes()
            entry = tarfile.TarInfo(path.name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

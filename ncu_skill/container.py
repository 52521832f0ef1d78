"""Container of a report file: magic bytes, compression, size limits, and the blocks with their string tables.

Layout ("Version 7 Format" of the Nsight Compute documentation): `NVR\\0`, u32le n, FileHeader of n bytes; then repeated
u32le n, BlockHeader of n bytes, payload of `PayloadSize` bytes made of (u32le n, message)*. Sources come before results.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ncu_skill import wire
from ncu_skill.errors import MissingDependency, UnreadableReport

MAGIC = b"NVR\0"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_UNPACKED_BYTES = 4 << 30
MAX_RATIO = 400
MAX_HEADER_BYTES = 64 << 20
READ_WHOLE_BYTES = 256 << 20

SOURCES, RESULTS, RANGE_RESULTS, CMDLIST_RESULTS, GRAPH_RESULTS = 1, 2, 7, 8, 9
_KINDS = ((SOURCES, "source"), (RESULTS, "kernel"), (RANGE_RESULTS, "range"), (CMDLIST_RESULTS, "cmdlist"), (GRAPH_RESULTS, "graph"))


class Item(NamedTuple):
    """One message of a block's payload: kind is source, kernel, range, cmdlist or graph; start and end are file offsets."""

    kind: str
    start: int
    end: int


class Block(NamedTuple):
    """One block: header offsets, the payload's items, the string table's place."""

    header: tuple[int, int]
    items: tuple[Item, ...]
    strings: tuple[int, int]
    session: tuple[int, int]
    process: tuple[int, int]


def load(path: Path) -> wire.Buffer:
    """The unpacked bytes of a report, mapped where the file is not compressed."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise UnreadableReport(f"{path} is a directory; give one .ncu-rep file")
        if not path.is_file():
            raise UnreadableReport(f"{path} is not a regular file; give one .ncu-rep file")
        with path.open("rb", buffering=0) as file:
            head = file.read(4)
            if head == ZSTD_MAGIC:
                return _unpack(path, size)
            if head != MAGIC:
                raise UnreadableReport(_what_it_is(path, size, head))
            if size <= READ_WHOLE_BYTES:
                file.seek(0)
                return file.readall()
            import mmap

            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise UnreadableReport(f"{path} does not exist; give the path of a .ncu-rep file") from error
    except OSError as error:
        raise UnreadableReport(f"{path} cannot be read: {error.strerror}") from error


def _what_it_is(path: Path, size: int, head: bytes) -> str:
    if size == 0:
        return f"{path} is empty: ncu was probably interrupted; collect it again"
    if head[:4] == b"SQLi":
        return f"{path} is an SQLite file (an Nsight Systems export?), not a Nsight Compute report"
    return f"{path} is not a Nsight Compute report: it starts with {head!r}, a report starts with {MAGIC!r} (or is one zstd frame of it)"


def _unpack(path: Path, size: int) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise MissingDependency(f"{path} is compressed (zstd); install the codec: pip install zstandard") from error
    limit = min(MAX_UNPACKED_BYTES, max(size * MAX_RATIO, 16 << 20))
    parts: list[bytes] = []
    total = 0
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file) as stream:
            while part := stream.read(1 << 20):
                total += len(part)
                if total > limit:
                    raise UnreadableReport(
                        f"{path} unpacks to more than {limit >> 20} MiB from {size} bytes: refused as a decompression bomb"
                    )
                parts.append(part)
    except zstandard.ZstdError as error:
        raise UnreadableReport(f"{path} is a damaged zstd file: {error}") from error
    data = b"".join(parts)
    if data[:4] != MAGIC:
        raise UnreadableReport(f"{path} is a zstd file, but not one of a Nsight Compute report")
    return data


def blocks(data: wire.Buffer) -> Iterator[Block]:
    """Every block in file order; raises UnreadableReport where a declared length does not fit the file."""
    at = 4
    start, at = _sized(data, at, "file header")
    for _ in wire.fields(data, start, at):
        pass
    while at < len(data):
        header_start, header_end = _sized(data, at, "block header")
        block, at = _block(data, header_start, header_end)
        yield block


def _sized(data: wire.Buffer, at: int, what: str) -> tuple[int, int]:
    if at + 4 > len(data):
        raise UnreadableReport(f"the report is truncated in the length of a {what} (byte {at} of {len(data)}); collect it again")
    size = struct.unpack_from("<I", data, at)[0]
    if size > len(data) - at - 4:
        raise UnreadableReport(f"the report is truncated: a {what} of {size} bytes at byte {at} does not fit the file of {len(data)} bytes")
    if what.endswith("header") and size > MAX_HEADER_BYTES:
        raise UnreadableReport(f"the report is damaged: a {what} of {size} bytes is declared")
    return at + 4, at + 4 + size


def _block(data: wire.Buffer, start: int, end: int) -> tuple[Block, int]:
    counts: dict[int, int] = {}
    places = {3: (end, end), 4: (end, end), 6: (end, end)}
    for number, kind, a, b in wire.fields(data, start, end):
        if kind == wire.VARINT:
            counts[number] = a
        elif number in places:
            places[number] = (a, b)
    stop = end + counts.get(5, 0)
    if stop > len(data):
        raise UnreadableReport(
            f"the report is truncated: a payload of {counts.get(5, 0)} bytes at byte {end} does not fit the file of {len(data)} bytes"
        )
    items = []
    at = end
    expected = iter([name for number, name in _KINDS for _ in range(min(counts.get(number, 0), (stop - end) // 4 + 1))])
    while at < stop:
        item_start, at = _sized(data, at, "result")
        if at > stop:
            raise UnreadableReport("the report is damaged: a result runs over the end of its block")
        items.append(Item(next(expected, "unknown"), item_start, at))
    return Block((start, end), tuple(items), places[4], places[3], places[6]), stop


def strings(data: wire.Buffer, block: Block) -> list[str]:
    """The block's string table, in index order."""
    found = []
    at, end = block.strings
    while at + 2 <= end and data[at] == 0x0A and data[at + 1] < 0x80 and at + 2 + data[at + 1] <= end:  # short ones: nearly all
        start = at + 2
        at = start + data[at + 1]
        found.append(wire.text(data, start, at))
    return found + [wire.text(data, a, b) for number, kind, a, b in wire.fields(data, at, end) if number == 1 and kind == wire.BYTES]

"""Wire reader: walks protobuf-encoded bytes without a schema, bounds-checked, decoding only what the caller asks for."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ncu_skill.errors import UnreadableReport

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Buffer = bytes | memoryview

_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")


def varint(data: Buffer, at: int) -> tuple[int, int]:
    """The unsigned varint at `at` and the offset behind it."""
    value = shift = 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
            if shift > 63:
                raise UnreadableReport("the report is damaged: a number is longer than 64 bits")
    except IndexError as error:
        raise UnreadableReport("the report is damaged: it ends inside a number") from error


def fields(data: Buffer, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Every field of a message as (number, wire type, a, b).

    For a varint a is the value; for other types a and b are the offsets of the payload inside `data`.
    """
    stop = len(data) if end is None else end
    at = start
    try:
        while at < stop:
            key = data[at]
            at += 1
            if key >= 0x80:
                key, at = varint(data, at - 1)
            kind = key & 7
            if kind == VARINT:
                value = data[at]
                at += 1
                if value >= 0x80:
                    value, at = varint(data, at - 1)
                yield key >> 3, kind, value, at
                continue
            if kind == BYTES:
                size = data[at]
                at += 1
                if size >= 0x80:
                    size, at = varint(data, at - 1)
            elif kind == FIXED64:
                size = 8
            elif kind == FIXED32:
                size = 4
            else:
                raise UnreadableReport(f"the report is damaged: wire type {kind} does not exist")
            if at + size > stop:
                raise UnreadableReport("the report is damaged: a field is longer than the message that holds it")
            yield key >> 3, kind, at, at + size
            at += size
    except IndexError as error:
        raise UnreadableReport("the report is damaged: it ends inside a field") from error
    if at != stop:
        raise UnreadableReport("the report is damaged: a message runs over its end")


def double(data: Buffer, at: int) -> float:
    return float(_DOUBLE.unpack_from(data, at)[0])


def single(data: Buffer, at: int) -> float:
    return float(_FLOAT.unpack_from(data, at)[0])


def text(data: Buffer, start: int, end: int) -> str:
    return bytes(data[start:end]).decode("utf-8", errors="replace")


def message(data: Buffer, start: int = 0, end: int | None = None) -> dict[int, int]:
    """The varint fields of a small message by number (last one wins)."""
    return {number: a for number, kind, a, _ in fields(data, start, end) if kind == VARINT}

"""Values: decodes the value messages of metrics and their instances (a correlation id and a value each)."""

from __future__ import annotations

from ncu_skill import wire
from ncu_skill.model import Value

Pair = tuple[int, float] | None  # (PC, value); None where an instance is not a number at a PC
_INSTANCE = 0x1A  # key of field 3, length-delimited
_NEW = (0, -1.0)  # not an instance: marks one that was not met before


class Known:
    """What was decoded before: whole instances, and the correlation ids in front of their values."""

    def __init__(self) -> None:
        self.pairs: dict[wire.Buffer, Pair] = {}
        self.ids: dict[wire.Buffer, int] = {}


def value(data: wire.Buffer, start: int, end: int) -> Value:
    """One value message: 1 text, 2 float, 3 double, 4 and 5 unsigned integers."""
    tag = data[start] if start < end else 0
    if tag == 0x19 and end - start == 9:
        return wire.double(data, start + 1)
    if tag in {0x20, 0x28}:
        number, at = wire.varint(data, start + 1)
        if at == end:
            return number
    for _, kind, a, b in wire.fields(data, start, end):
        if kind == wire.VARINT:
            return a
        if kind == wire.BYTES:
            return wire.text(data, a, b)
        return wire.double(data, a) if kind == wire.FIXED64 else wire.single(data, a)
    return 0


def instance(data: wire.Buffer, start: int, end: int) -> tuple[Value, Value]:
    """(correlation id, value) of one instance: field 1 and field 2, each a value message."""
    if end - start > 6 and data[start] == 0x0A and data[start + 2] == 0x28:  # a PC or an index, then its value: nearly all instances
        index, at = _short(data, start + 3, end)
        if at == start + 2 + data[start + 1] and at + 2 < end and data[at] == 0x12 and at + 2 + data[at + 1] == end:
            tag = data[at + 2]
            if tag == 0x19 and end - at == 11:
                return index, wire.double(data, at + 3)
            if tag in {0x20, 0x28}:
                count, stop = _short(data, at + 3, end)
                if stop == end:
                    return index, count
    key: Value = 0
    held: Value = 0
    if start + 1 < end and data[start] == 0x0A and data[start + 1] < 0x80:
        middle = start + 2 + data[start + 1]
        if middle + 1 < end and data[middle] == 0x12 and middle + 2 + data[middle + 1] == end:
            return value(data, start + 2, middle), value(data, middle + 2, end)
    for number, kind, a, b in wire.fields(data, start, end):
        if kind == wire.BYTES and number == 1:
            key = value(data, a, b)
        elif kind == wire.BYTES and number == 2:
            held = value(data, a, b)
    return key, held


def sample(data: wire.Buffer, start: int, end: int, known: Known) -> tuple[Value, Value]:
    """(correlation id, value) like `instance`; times of PM samples, which repeat from one series to the next, are decoded once."""
    middle = start + 2 + data[start + 1] if end - start > 13 else end
    if middle + 11 == end and data[start] == 0x0A and data[middle] == 0x12 and data[middle + 1] == 9 and data[middle + 2] == 0x19:
        head = data[start:middle]
        key = known.ids.get(head)
        if key is not None:
            return key, wire.double(data, middle + 3)
        found = instance(data, start, end)
        if isinstance(found[0], int):
            known.ids[head] = found[0]
        return found
    return instance(data, start, end)


def per_pc(data: wire.Buffer, start: int, end: int, known: Known) -> dict[int, float]:
    """The instances of one metric as {PC: value}.

    `known` is kept between the metrics of a launch: most instances are zeros that repeat byte for byte from one metric to the next.
    """
    found: dict[int, float] = {}
    pairs = known.pairs
    at = end
    for number, kind, a, _ in wire.fields(data, start, end):
        if number == 3 and kind == wire.BYTES:  # the first instance: the others follow it in one run
            at = a - 2
            if data[at] != _INSTANCE:
                return _per_pc(data, start, end)
            break
    while at + 2 <= end and data[at] == _INSTANCE and data[at + 1] < 0x80:
        stop = at + 2 + data[at + 1]
        if stop > end:
            break
        record = data[at + 2 : stop]
        pair = pairs.get(record, _NEW)
        if pair is _NEW:
            pair = pairs[record] = _new(record, known.ids)
        if pair is not None:
            found[pair[0]] = pair[1]
        at = stop
    if any(number == 3 and kind == wire.BYTES for number, kind, _, _ in wire.fields(data, at, end)):
        return _per_pc(data, start, end)  # another layout than nearly all reports have
    return found


def _new(record: wire.Buffer, ids: dict[wire.Buffer, int]) -> Pair:
    """A record that was not met before; its id mostly was, and most counts take one byte."""
    middle = len(record) - 4
    small = middle > 0 and record[middle] == 0x12 and record[middle + 1] == 2 and record[middle + 2] in {0x20, 0x28}
    if small and record[middle + 3] < 0x80:
        key = ids.get(record[:middle])
        if key is not None:
            return key, float(record[middle + 3])
    pair = _pair(record, 0, len(record))
    if small and pair is not None and record[0] == 0x0A and record[1] == middle - 2:
        ids[record[:middle]] = pair[0]
    return pair


def _per_pc(data: wire.Buffer, start: int, end: int) -> dict[int, float]:
    """The same field by field, for any order of fields and any length of an instance."""
    spans = [(a, b) for number, kind, a, b in wire.fields(data, start, end) if number == 3 and kind == wire.BYTES]
    return dict(pair for a, b in spans if (pair := _pair(data, a, b)) is not None)


def _pair(data: wire.Buffer, start: int, end: int) -> Pair:
    key, held = instance(data, start, end)
    return (key, float(held)) if isinstance(key, int) and not isinstance(held, str) else None


def _short(data: wire.Buffer, at: int, end: int) -> tuple[int, int]:
    """A varint of at most nine bytes and the offset behind it; -1 as the offset where it is longer or runs over the end."""
    held = shift = 0
    while at < end and shift < 63:
        byte = data[at]
        at += 1
        held |= (byte & 0x7F) << shift
        if byte < 0x80:
            return held, at
        shift += 7
    return 0, -1

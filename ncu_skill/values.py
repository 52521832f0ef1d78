"""Values: decodes the value messages of metrics and their instances (a correlation id and a value each)."""

from __future__ import annotations

import re
from functools import cache

from ncu_skill import wire
from ncu_skill.model import Value

Pair = tuple[int, float] | None  # (PC, value); None where an instance is not a number at a PC
_INSTANCE = 0x1A  # key of field 3, length-delimited
_MANY_BYTES = 8192  # of instances, from which on it pays to compile a pattern for them
_NEW = (0, -1.0)  # not an instance: marks one that was not met before


class _Varints(dict[wire.Buffer, int]):
    """{bytes of a number: the number}, filled as it is asked."""

    def __missing__(self, coded: wire.Buffer) -> int:
        self[coded] = number = wire.varint(coded, 0)[0]
        return number


class _Usual(dict[wire.Buffer, tuple[int, float]]):
    """{instance of the usual layout, with its key and length: (PC, count)} for PCs of `size` bytes, filled as it is asked."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.pattern = _pattern(size)
        self._pcs, self._counts = _Varints(), _Varints()

    def __missing__(self, record: wire.Buffer) -> tuple[int, float]:
        end = 5 + self.size
        pair = self[record] = self._pcs[record[5:end]], float(self._counts[record[end + 3 :]])
        return pair


class Known:
    """What was decoded before: whole instances, and the correlation ids in front of their values."""

    def __init__(self) -> None:
        self.pairs: dict[wire.Buffer, Pair] = {}
        self.ids: dict[wire.Buffer, int] = {}
        self._usual: dict[int, _Usual] = {}

    def usual(self, size: int) -> _Usual:
        """Instances of the usual layout with PCs of `size` bytes."""
        if size not in self._usual:
            self._usual[size] = _Usual(size)
        return self._usual[size]


@cache
def _pattern(size: int) -> re.Pattern[bytes]:
    """An instance with a PC of `size` bytes and a count of one to five: every length that it declares is the true one."""
    pc = rb"\x0a%s\x28[\x80-\xff]{%d}[\x00-\x7f]\x12" % (re.escape(bytes([size + 1])), size - 1)
    layouts = []
    for count in range(1, 6):
        whole, held = (re.escape(bytes([length])) for length in (size + 6 + count, count + 1))
        layouts.append(whole + pc + held + rb"[\x20\x28][\x80-\xff]{%d}[\x00-\x7f]" % (count - 1))
    return re.compile(rb"\x1a(?:" + b"|".join(layouts) + rb")")


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
    if end - at >= _MANY_BYTES and data[at + 2] == 0x0A and 2 <= data[at + 3] <= 10:
        usual = known.usual(data[at + 3] - 1)
        records = usual.pattern.findall(data, at, end)
        run = b"".join(records)
        if data[at : at + len(run)] == run:  # without a gap
            found = dict(map(usual.__getitem__, records))
            at += len(run)
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

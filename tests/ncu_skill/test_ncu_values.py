"""Values of instances: the short cut for the usual layout gives what decoding field by field gives, for every layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from ncu_skill import open_report, values, wire
from ncu_skill.errors import UnreadableReport


def varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def record(pc: int, count: int, padding: bytes = b"") -> bytes:
    """One instance as field 3 of a metric: a PC, a count, and unknown bytes behind them."""
    key, held = b"\x28" + varint(pc), b"\x28" + varint(count)
    body = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(held)) + held + padding
    return b"\x1a" + varint(len(body)) + body


def slowly(data: bytes) -> dict[int, float]:
    """The same without any memory of earlier instances."""
    pairs = [values.instance(data, a, b) for number, kind, a, b in wire.fields(data) if number == 3 and kind == wire.BYTES]
    return {key: float(held) for key, held in pairs if isinstance(key, int) and not isinstance(held, str)}


LONG = b"\x3a\x80\x01" + bytes(128)  # an unknown field that makes an instance longer than 127 bytes
PC = 0x7F_1234_5600


@pytest.mark.parametrize(
    "data",
    [
        record(PC, 0) + record(PC + 16, 5),
        b"\x08\x8c\x02\x12\x02\x28\x04" + record(PC, 300) + record(PC + 16, 1) + b"\x20\x01",
        record(PC, 7, LONG) + record(PC + 16, 1),
        record(PC, 7) + record(PC + 16, 1, LONG) + record(PC + 32, 2),
        record(PC, 7) + b"\x20\x01" + record(PC + 16, 1),
        record(PC, 7) + b"\x1a\x0a\x0a\x02\x0a\x00\x12\x04\x0a\x02hi" + record(PC + 16, 3),
        record(PC, 7) + b"\x1a\x00" + record(PC, 9),
        b"",
    ],
)
def test_every_layout_of_instances_is_read_alike_first_and_again(data: bytes) -> None:
    known = values.Known()
    assert values.per_pc(data, 0, len(data), known) == slowly(data)
    assert values.per_pc(data, 0, len(data), known) == slowly(data)


def test_a_known_pc_with_another_count_is_read_anew() -> None:
    known = values.Known()
    for count in (0, 1, 127, 128, 1 << 40):
        data = record(PC, count)
        assert values.per_pc(data, 0, len(data), known) == {PC: float(count)}


@pytest.mark.parametrize("cut", range(1, 14))
def test_instances_that_run_over_the_end_are_an_error(cut: int) -> None:
    data = record(PC, 0) + record(PC + 16, 5)
    with pytest.raises(UnreadableReport):
        values.per_pc(data, 0, len(data) - cut, values.Known())


def test_samples_read_with_known_times_are_those_read_one_by_one(report_file: Path) -> None:
    kernel = open_report(report_file).kernel(0)
    lone = 0
    for name in kernel.metric_names:
        held, ids = kernel.instances(name)
        assert kernel.instances(name) == (held, ids)
        wanted = {key: float(one) for key, one in zip(ids, held, strict=True) if isinstance(key, int) and not isinstance(one, str)}
        assert kernel.per_pc(name) == wanted
        lone += len(ids)
    assert lone > 1000

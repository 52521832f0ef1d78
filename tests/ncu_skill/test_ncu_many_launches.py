"""Many launches: 10,000 of them, made from a real result with few metrics, are summarised in bounded memory."""

from __future__ import annotations

import importlib.util
import struct
import tracemalloc
from pathlib import Path

from ncu_skill import container, diagnose, open_report, summary, wire

LAUNCHES = 10_000
KEPT_METRICS = 40


def encode(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, payload: bytes) -> bytes:
    return encode(number << 3 | 2) + encode(len(payload)) + payload


def small_result(data: bytes, item: container.Item) -> bytes:
    """The real result message with its first metrics only, plus the duration."""
    found, kept = b"", 0
    for number, kind, a, b in wire.fields(data, item.start, item.end):
        if number in {17, 19} or (number == 13 and kept >= KEPT_METRICS):
            continue
        kept += number == 13
        found += encode(number << 3) + encode(a) if kind == wire.VARINT else field(number, data[a:b]) if kind == wire.BYTES else b""
    return found


def test_ten_thousand_launches_are_grouped_in_bounded_memory(report_file: Path, tmp_path: Path) -> None:
    data = report_file.read_bytes()
    block = next(block for block in container.blocks(data) if any(item.kind == "kernel" for item in block.items))
    result = small_result(data, block.items[0])
    payload = (struct.pack("<I", len(result)) + result) * LAUNCHES
    table = data[slice(*block.strings)]
    header = encode(2 << 3) + encode(LAUNCHES) + field(4, table) + encode(5 << 3) + encode(len(payload))
    path = tmp_path / "many.ncu-rep"
    path.write_bytes(b"NVR\0" + struct.pack("<I", 2) + b"\x08\x07" + struct.pack("<I", len(header)) + header + payload)
    report = open_report(path)
    assert len(report) == LAUNCHES
    tracemalloc.start()
    document = summary(report)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert document["groups"][0]["launches"] == LAUNCHES
    assert peak < 64 << 20


def test_launches_of_several_reports_merged_into_one_read_as_in_their_own(first_set: Path, pair_set: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("ncu_merge", Path(__file__).parents[2] / "benchmarks" / "ncu" / "merge.py")
    assert spec is not None
    assert spec.loader is not None
    merge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(merge)
    launches = [(first_set / "cuda.ncu-rep", 9), (pair_set / "second.ncu-rep", 34), (first_set / "python.ncu-rep", 4)]
    merged = open_report(merge.merge(launches, tmp_path / "merged.ncu-rep"))
    assert len(merged) == len(launches)
    for number, (path, launch) in enumerate(launches):
        ours, original = merged.kernel(number), open_report(path).kernel(launch)
        assert ours.metric_names == original.metric_names
        assert [repr(ours.value(name)) for name in ours.metric_names] == [repr(original.value(name)) for name in original.metric_names]
        assert ours.instructions == original.instructions
        assert ours.lines == original.lines
        found, wanted = diagnose(merged, launch=number)["kernels"][0], diagnose(path, launch=launch)["kernels"][0]
        assert found["findings"] == wanted["findings"]
    assert merged.kernel(2).units["gpu__time_duration.sum"] == "ns"  # NVIDIA's reader opens it, too

"""Parity: what we read equals what the vendor's reader says."""

from __future__ import annotations

import gzip
import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ncu_skill import open_report
from ncu_skill.report import Kernel

pytestmark = pytest.mark.skipif(find_spec("ncu_report") is None, reason="ncu-report is not installed")

NAMES = (
    *("copy_strided", "copy_vec4", "fix_copy_strided", "gemm_naive"),
    *("tail", "transpose_conflict", "transpose_padded", "triton_softmax"),
)


def truth(shared: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(shared / f"{name}.truth.json.gz") as file:
        found: list[dict[str, Any]] = json.load(file)
        return found


def same(a: object, b: object) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def without_labels(sass: str) -> str:
    """Newer vendor readers print a label before a branch target."""
    start, _, rest = sass.partition("`(")
    return start + rest.partition(") ")[2] if rest else sass


def metric_differences(kernel: Kernel, expected: dict[str, Any]) -> list[str]:
    found = [] if set(kernel.metric_names) == set(expected) else ["names"]
    for name in kernel.metric_names:
        ours, theirs = kernel.metric(name), expected[name]
        pairs = [(ours.value, theirs["v"]), *zip(ours.instances, theirs.get("inst", []), strict=True)]
        pairs += zip(ours.correlation_ids, theirs.get("cid", []), strict=True)
        if not all(same(a, b) for a, b in pairs):
            found.append(name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_value_instance_and_correlation_id_equals_the_vendors(shared: Path, name: str) -> None:
    report = open_report(shared / f"{name}.ncu-rep")
    expected = truth(shared, name)
    assert len(report) == len(expected)
    for kernel, action in zip(report.kernels, expected, strict=True):
        assert metric_differences(kernel, action["metrics"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_units_equal_the_vendors(shared: Path, name: str) -> None:
    kernel = open_report(shared / f"{name}.ncu-rep").kernel(0)
    expected = {metric: row["u"] for metric, row in truth(shared, name)[0]["metrics"].items()}
    # Known difference between vendor versions: 2025.3 says "request", 2026.3 says "".
    assert {metric for metric, unit in expected.items() if kernel.units[metric] != unit} <= {"idc__requests.sum"}


@pytest.mark.parametrize("name", NAMES)
def test_every_pc_maps_to_the_same_line_and_sass(shared: Path, name: str) -> None:
    kernel = open_report(shared / f"{name}.ncu-rep").kernel(0)
    expected = {int(pc): row for pc, row in truth(shared, name)[0]["pc"].items()}
    places = {pc: kernel.place(pc) for pc in expected}
    assert {pc: (place.file, place.line) for pc, place in places.items() if place} == {pc: (row[0], row[1]) for pc, row in expected.items()}
    texts = kernel.sass(list(expected))
    assert [without_labels(text) for text in texts] == [without_labels(row[2]) for row in expected.values()]


@pytest.mark.parametrize("name", NAMES)
def test_decoded_opcodes_equal_the_disassembly(shared: Path, name: str) -> None:
    kernel = open_report(shared / f"{name}.ncu-rep").kernel(0)
    decoded = {instruction.pc: instruction.opcode for instruction in kernel.instructions}
    for pc, row in truth(shared, name)[0]["pc"].items():
        words = [word for word in row[2].replace(";", " ").split() if not word.startswith("@")]
        assert decoded[int(pc)] == words[0].split(".")[0]

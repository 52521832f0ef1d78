"""What a reader relies on: schema, length, markdown, NVTX, source roots, redaction, groups of launches, hostile names."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from ncu_skill import container, data, diagnose, hotspots, open_report, render, summary
from ncu_skill.cli import cli
from ncu_skill.report import Report

TOKENS = 1000
CHARACTERS_PER_TOKEN = 3.5  # a careful estimate for identifiers and numbers


@pytest.fixture(scope="module")
def reports(first_set: Path, pair_set: Path) -> list[Report]:
    paths = [*sorted(first_set.glob("*.ncu-rep")), *sorted(pair_set.glob("*.ncu-rep"))]
    return [open_report(path) for path in paths]


@pytest.fixture(scope="module")
def documents(reports: list[Report]) -> list[dict[str, Any]]:
    """The diagnosis of every kernel group of both corpora."""
    return [diagnose(report, top=200) for report in reports]


def test_every_diagnosis_of_the_corpora_follows_the_published_schema(documents: list[dict[str, Any]]) -> None:
    schema = json.loads(Path(data.__file__).with_name("diagnose.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert sum(len(document["kernels"]) for document in documents) >= 150
    for document in documents:
        plain = json.loads(json.dumps(document, allow_nan=False))
        assert [error.message for error in validator.iter_errors(plain)] == []


def test_a_document_that_breaks_the_contract_fails_the_schema(documents: list[dict[str, Any]]) -> None:
    schema = json.loads(Path(data.__file__).with_name("diagnose.schema.json").read_text(encoding="utf-8"))
    broken = json.loads(json.dumps(documents[0]))
    del broken["kernels"][0]["findings"][0]["fixes"]
    broken["kernels"][0]["bound"] = "moon"
    assert len(list(jsonschema.Draft202012Validator(schema).iter_errors(broken))) == 2


def test_the_text_of_every_kernel_stays_under_a_thousand_tokens(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        for kernel in document["kernels"]:
            text = render.diagnosis({**document, "kernels": [kernel]})
            assert len(text) / CHARACTERS_PER_TOKEN < TOKENS, kernel["name"]


def test_markdown_holds_the_same_findings_as_json(pair_set: Path) -> None:
    path = str(pair_set / "python.ncu-rep")
    document = json.loads(CliRunner().invoke(cli, ["diagnose", path, "--kernel", "softmax", "--json"]).output)
    markdown = CliRunner().invoke(cli, ["diagnose", path, "--kernel", "softmax", "--format", "md"]).output
    finding = document["kernels"][0]["findings"][0]
    assert markdown.startswith("# NVIDIA H200")
    assert f"### 1. {finding['id']}" in markdown
    assert finding["falsifier"] in markdown


def test_nvtx_ranges_name_the_case_around_a_launch(pair_set: Path) -> None:
    names = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]["python"]
    report = open_report(pair_set / "python.ncu-rep")
    assert [name in report.kernel(launch).nvtx for launch, name in enumerate(names[:3])] == [True, True, True]


def test_a_source_root_gives_the_text_of_lines_that_the_report_does_not_embed(pair_set: Path, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "benchmarks" / "ncu" / "pairs" / "memory.cu"
    folder = tmp_path / "project" / "kernels"
    folder.mkdir(parents=True)
    (folder / "memory.cu").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    report = open_report(pair_set / "first.ncu-rep")
    without = hotspots(report, kernel="embed_by_token")["lines"][0]
    found = hotspots(report, kernel="embed_by_token", source_root=tmp_path)["lines"]
    planted = next(row for row in found if "PLANT embedding" in row["text"])
    assert without["text"] == ""
    assert planted["line"] > 0
    assert planted["producers"]


def test_host_facts_and_paths_are_redacted_unless_asked_for(pair_set: Path, documents: list[dict[str, Any]]) -> None:
    for document in documents:
        text = json.dumps(document)
        assert "/opt/" not in text
        assert "/bench" not in text.replace("bench/", "")
        assert "host" not in document["report"]
    shown = diagnose(pair_set / "first.ncu-rep", redact=False, top=1)
    assert shown["kernels"][0]["findings"][0]["locations"][0]["file"].startswith("/bench/")


def test_launches_of_one_kernel_and_shape_are_one_line_weighed_by_time(pair_set: Path) -> None:
    document = summary(pair_set / "first.ncu-rep")
    adam = next(row for row in document["groups"] if row["name"].startswith("adam"))
    assert adam["launches"] == 3
    assert sum(row["time_share_pct"] for row in document["groups"]) == pytest.approx(100, abs=1)
    totals = [row["total_ns"] for row in document["groups"]]
    assert totals == sorted(totals, reverse=True)


def test_top_kernel_and_launch_choose_what_is_diagnosed(pair_set: Path) -> None:
    report = open_report(pair_set / "first.ncu-rep")
    assert len(diagnose(report, top=2)["kernels"]) == 2
    assert {kernel["name"].split("(")[0] for kernel in diagnose(report, kernel="^adam")["kernels"]} == {"adam"}
    assert diagnose(report, launch=4)["kernels"][0]["launch"] == 4
    done = CliRunner().invoke(cli, ["diagnose", str(pair_set / "first.ncu-rep"), "--kernel", "("])
    assert done.exit_code != 0


def test_a_library_launch_without_code_is_diagnosed_without_lines(pair_set: Path) -> None:
    report = open_report(pair_set / "python.ncu-rep")
    names = json.loads((pair_set / "index.json").read_text(encoding="utf-8"))["launches"]["python"]
    kernel = diagnose(report, launch=names.index("q_mm_bf16"))["kernels"][0]
    assert report.kernel(names.index("q_mm_bf16")).module is None
    assert kernel["findings"][0]["id"] == "tensor-bound"
    assert all(place["line"] == 0 for finding in kernel["findings"] for place in finding["locations"])


def test_names_from_a_report_cannot_move_the_cursor_or_break_a_line(documents: list[dict[str, Any]]) -> None:
    document = json.loads(json.dumps(documents[0]))
    document["kernels"] = document["kernels"][:1]
    document["kernels"][0]["name"] = "evil\x1b[2J\r\nname" + "x" * 500
    text = render.diagnosis(document)
    assert "\x1b" not in text
    assert "\r" not in text
    assert max(len(line) for line in text.splitlines()) < 700


def test_a_stand_in_for_a_command_list_is_read_like_the_range_that_it_is_made_of(first_set: Path, tmp_path: Path) -> None:
    """No command list can be profiled here (it needs OptiX): the result of a real range, declared as a command list in the block header."""
    data = (first_set / "range.ncu-rep").read_bytes()
    block = next(block for block in container.blocks(data) if any(item.kind == "range" for item in block.items))
    item = next(item for item in block.items if item.kind == "range")
    result = data[item.start : item.end]
    payload = struct.pack("<I", len(result)) + result
    strings = data[slice(*block.strings)]
    header = b"\x40\x01" + b"\x22" + varint(len(strings)) + strings + b"\x28" + varint(len(payload))
    path = tmp_path / "list.ncu-rep"
    path.write_bytes(b"NVR\0" + struct.pack("<I", 2) + b"\x08\x07" + struct.pack("<I", len(header)) + header + payload)
    kernel, original = open_report(path).kernel(0), open_report(first_set / "range.ncu-rep").kernel(0)
    assert kernel.workload == "cmdlist"
    assert kernel.metric_names == original.metric_names
    assert diagnose(path)["kernels"][0]["workload"] == "cmdlist"


def varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])

"""`kwiki ingest records` and `explain` as a user runs them: a process of their own, a data folder of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ingest_parts import PATCH, Run, pull_request, write_lines

from kernelwiki.reading.records import read_records

Kwiki = Callable[..., Run]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Five lines: three pull requests to keep, one to leave out, one that is no JSON; a diff beside them."""
    leave = pull_request(4, files=[{"path": "README.md", "additions": 1, "deletions": 0}])
    path = write_lines(tmp_path / "fast.prs.jsonl.gz", [pull_request(1), pull_request(2), "{no json", leave, pull_request(3)])
    write_lines(tmp_path / "fast.diffs.jsonl.gz", [{"repo": "acme/fastkernels", "number": 2, "patch": PATCH}])
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_import_writes_records_and_reports_them_as_one_document(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    run = kwiki("ingest", "records", file, "--json")
    assert run.code == 0, run.err
    report = run.json
    assert set(report) == {"schema_version", "read", "kept", "left_out", "rejected", "written_to"}
    assert (report["schema_version"], report["read"], report["kept"], report["left_out"]) == (1, 5, 3, 1)
    assert len(report["rejected"]) == 1 and report["rejected"][0].startswith("fast.prs.jsonl.gz:3:")
    assert report["written_to"] == str(tmp_path / "home" / "records")
    found = {record.id: record for record in read_records(tmp_path / "home" / "records")}
    assert sorted(found) == ["fastkernels#1", "fastkernels#2", "fastkernels#3"]
    assert any(item.name == "tcgen05.mma" and item.line == 4 for item in found["fastkernels#2"].evidence)


def test_without_json_the_counts_go_to_stdout_and_rejections_to_stderr(kwiki: Kwiki, file: Path) -> None:
    run = kwiki("ingest", "records", file)
    assert run.out == "5 read, 3 kept, 1 left out by the policy, 1 rejected\n"
    assert "rejected fast.prs.jsonl.gz:3:" in run.err
    assert "Traceback" not in run.err


def test_a_second_import_changes_nothing(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    first_report = kwiki("ingest", "records", file, "--json").json
    first = content(tmp_path / "home")
    assert kwiki("ingest", "records", file, "--json").json == first_report
    assert content(tmp_path / "home") == first


def test_a_later_import_adds_to_the_records_and_replaces_those_of_the_same_number(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    kwiki("ingest", "records", file)
    later = write_lines(tmp_path / "later.jsonl", [pull_request(3, title="A better kernel"), pull_request(9)])
    assert kwiki("ingest", "records", later).code == 0
    titles = {record.number: record.title for record in read_records(tmp_path / "home" / "records")}
    assert titles == {1: "Add a tcgen05 GEMM kernel", 2: "Add a tcgen05 GEMM kernel", 3: "A better kernel", 9: "Add a tcgen05 GEMM kernel"}


def test_a_repository_named_like_a_shipped_one_does_not_take_over_its_ids(kwiki: Kwiki, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "fork.jsonl", [pull_request(2472, repo="acme/cutlass"), pull_request(1, repo="NVIDIA/cutlass")])
    assert kwiki("ingest", "records", path).code == 0
    assert sorted(record.id for record in read_records(tmp_path / "home" / "records")) == ["acme/cutlass#2472", "cutlass#1"]


def test_a_dry_run_counts_and_writes_nothing(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    before = content(tmp_path)
    run = kwiki("ingest", "records", file, "--dry-run", "--json")
    assert (run.code, run.json["kept"], run.json["written_to"]) == (0, 3, None)
    assert content(tmp_path) == before
    assert not (tmp_path / "home").exists()


def test_out_writes_there_and_leaves_the_data_folder_alone(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    run = kwiki("ingest", "records", file, "--out", tmp_path / "elsewhere", "--json")
    assert run.json["written_to"] == str(tmp_path / "elsewhere")
    assert len(list(read_records(tmp_path / "elsewhere"))) == 3
    assert not (tmp_path / "home").exists()


def test_hostile_names_in_a_file_write_only_below_the_data_folder(kwiki: Kwiki, tmp_path: Path) -> None:
    rows = [
        pull_request(1, repo="../../escape/kernels"),
        pull_request(2, repo="acme/..", title="kernel \x1b[2J"),
        pull_request(3, files=[{"path": "../../../../tmp/kernel.cu", "additions": 1, "deletions": 0}]),
    ]
    path = write_lines(tmp_path / "hostile.jsonl", rows)
    run = kwiki("ingest", "records", path, "--json")
    assert run.code == 0, run.err
    written = {name for name in content(tmp_path) if name != "hostile.jsonl"}
    assert all(name.startswith(("home/records/", "home/ingest/")) and name.count("/") <= 3 and ".." not in name for name in written)
    assert "\x1b" not in run.out + run.err


@pytest.mark.parametrize("arguments", [(), ("missing.jsonl.gz",), ("--nonsense", "missing.jsonl.gz")])
def test_a_missing_file_or_argument_is_a_usage_error(kwiki: Kwiki, arguments: tuple[str, ...]) -> None:
    run = kwiki("ingest", "records", *arguments)
    assert (run.code, run.out) == (2, "")
    assert "Traceback" not in run.err


def test_a_broken_file_is_exit_4_and_writes_nothing(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])
    run = kwiki("ingest", "records", file, "--json")
    assert (run.code, run.out) == (4, "")
    assert "fast.prs.jsonl.gz" in run.err and "Traceback" not in run.err
    assert not any((tmp_path / "home" / "records").iterdir())


def test_broken_own_records_are_exit_4_and_stay_as_they_are(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    kwiki("ingest", "records", file)
    (stored,) = (tmp_path / "home" / "records").glob("acme__fastkernels.0000.*.jsonl.gz")
    stored.write_bytes(stored.read_bytes()[:-9])
    before = content(tmp_path / "home")
    run = kwiki("ingest", "records", file)
    assert run.code == 4 and stored.name in run.err and "Traceback" not in run.err
    assert content(tmp_path / "home") == before


def test_a_data_folder_that_cannot_be_written_is_one_line_and_exit_4(kwiki: Kwiki, file: Path, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file", encoding="utf-8")
    run = kwiki("ingest", "records", file, home=tmp_path / "occupied")
    assert run.code == 4 and "cannot be written" in run.err and "Traceback" not in run.err


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(1, 0, "include (score"), (4, 0, "exclude (score 0): only documentation"), (99, 3, "no pull request 99")],
)
def test_explain_says_why_or_that_there_is_no_such_pull_request(kwiki: Kwiki, file: Path, number: int, code: int, words: str) -> None:
    run = kwiki("ingest", "explain", file, number)
    assert run.code == code and words in run.out + run.err and "Traceback" not in run.err


def test_the_report_is_one_line_of_json(kwiki: Kwiki, file: Path) -> None:
    out = kwiki("ingest", "records", file, "--dry-run", "--json").out
    assert out.count("\n") == 1
    assert json.loads(out)["read"] == 5

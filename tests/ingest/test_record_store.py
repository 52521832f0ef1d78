"""Record files: what is written is read back, never half, always the same bytes, and damage names the file."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ingest_parts import SHA

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import ChangedFile, Evidence, Record
from kernelwiki.reading.records import (
    MANIFEST,
    compress,
    read_manifest,
    read_record_file,
    read_records,
    record_from_json,
    record_to_json,
    write_atomically,
    write_records,
)


def record(number: int = 1, repo: str = "acme/fastkernels", **changes: object) -> Record:
    """A small record; `changes` replace fields."""
    values = {
        "id": f"{repo.split('/')[1]}#{number}",
        "repo": repo,
        "number": number,
        "title": f"Kernel {number}",
        "url": f"https://github.com/{repo}/pull/{number}",
        "merged_at": f"2026-01-{number % 28 + 1:02}T00:00:00Z",
        "merge_sha": SHA,
        **changes,
    }
    return Record(**values)  # type: ignore[arg-type]


FULL = record(
    5,
    title="Ünïcode “title” 核",
    files=(ChangedFile("csrc/a b.cu", 3, 0), ChangedFile("data.bin", None, None)),
    evidence=(Evidence("instruction", "tcgen05.mma", "csrc/a b.cu", 3), Evidence("arch", "sm100", "csrc/a b.cu"), Evidence("arch", "sm90")),
    mentions=("tcgen05",),
    identifiers=("launch_it",),
    selection=("path:kernel-source +4",),
    score=4,
    summary="Ours.",
    symptoms=("slow",),
    techniques=("tma",),
    body="Own data\nonly.",
)
SEVERAL = [record(3), record(1), FULL, record(2, "zeta/other"), record(10)]
SHIPPED_NAME = "acme__fastkernels.jsonl.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A records folder that holds SEVERAL."""
    write_records(tmp_path / "records", SEVERAL)
    return tmp_path / "records"


@pytest.mark.parametrize("one", [FULL, record()], ids=["every field", "only required fields"])
def test_a_record_survives_its_stored_form(one: Record) -> None:
    assert record_from_json(json.loads(json.dumps(record_to_json(one)))) == one


def test_empty_fields_are_not_stored() -> None:
    assert {"body", "summary", "symptoms", "evidence", "files"}.isdisjoint(record_to_json(record()))


def test_what_is_written_is_read_back_by_repository_and_number(folder: Path) -> None:
    assert list(read_records(folder)) == [record(1), record(3), FULL, record(10), record(2, "zeta/other")]


def test_the_manifest_counts_and_proves_its_files(folder: Path) -> None:
    manifest = read_manifest(folder)
    entry = manifest["files"][SHIPPED_NAME]
    assert manifest["records"] == 5
    assert (entry["repo"], entry["records"], entry["evidence"]) == ("acme/fastkernels", 4, 3)
    assert (entry["first_merged_at"], entry["cut_off"]) == ("2026-01-02T00:00:00Z", "2026-01-11T00:00:00Z")
    assert entry["sha256"] == hashlib.sha256((folder / SHIPPED_NAME).read_bytes()).hexdigest()
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {MANIFEST}


def test_extra_keys_stand_in_the_manifest_and_cannot_replace_what_it_counts(tmp_path: Path) -> None:
    manifest = write_records(tmp_path, SEVERAL, {"policy": "ours", "files": "overwritten?"})
    assert manifest["policy"] == "ours"
    assert set(manifest["files"]) == {SHIPPED_NAME, "zeta__other.jsonl.gz"}


def test_the_same_records_in_any_order_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for seed in range(4):
        shuffled = random.Random(seed).sample(SEVERAL, len(SEVERAL))
        write_records(tmp_path / str(seed), shuffled)
        for path in folder.iterdir():
            assert (tmp_path / str(seed) / path.name).read_bytes() == path.read_bytes(), path.name


def test_another_process_at_another_time_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kernelwiki.reading.records import read_records, write_records;"
        "write_records(Path(sys.argv[2]), read_records(Path(sys.argv[1])))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "again")], check=True, env=environment)
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_compressed_file_carries_no_time_and_no_name() -> None:
    header = compress("text")[:10]
    assert header[3:8] == b"\0\0\0\0\0"


def test_nothing_written_is_an_empty_corpus(tmp_path: Path) -> None:
    assert write_records(tmp_path, [])["records"] == 0
    assert list(read_records(tmp_path)) == []


def test_writing_leaves_no_temporary_file(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {MANIFEST, SHIPPED_NAME, "zeta__other.jsonl.gz"}


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "text is no bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_rename_that_fails_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "taken", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_record_that_cannot_be_encoded_fails_before_any_file_is_replaced(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UnicodeEncodeError):
        write_records(folder, [*SEVERAL, record(4, title="lone \ud800")])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("change", ["truncate", "empty", "append", "flip", "recompress"])
def test_an_altered_file_is_an_error_that_names_it(folder: Path, change: str) -> None:
    path = folder / SHIPPED_NAME
    data = path.read_bytes()
    altered = {
        "truncate": data[:-5],
        "empty": b"",
        "append": data + b"\0",
        "flip": data[:60] + bytes([data[60] ^ 1]) + data[61:],
        "recompress": gzip.compress(gzip.decompress(data), 1, mtime=1),
    }[change]
    path.write_bytes(altered)
    with pytest.raises(CorpusUnreadable, match=SHIPPED_NAME) as error:
        list(read_records(folder))
    assert "Restore" in str(error.value)


def test_a_missing_file_is_an_error_that_names_it(folder: Path) -> None:
    (folder / "zeta__other.jsonl.gz").unlink()
    with pytest.raises(CorpusUnreadable, match=r"zeta__other\.jsonl\.gz"):
        list(read_records(folder))


def test_a_truncated_file_is_noticed_also_without_its_sum(folder: Path) -> None:
    path = folder / SHIPPED_NAME
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorpusUnreadable, match=SHIPPED_NAME):
        list(read_records(folder, verify=False))


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "null",
        "{broken",
        '{"id": "a#1"}',
        json.dumps({**record_to_json(FULL), "number": "x"}),
        json.dumps({**record_to_json(FULL), "files": [[1, 2, 3, 4]]}),
        json.dumps({**record_to_json(FULL), "evidence": 5}),
        pytest.param(
            json.dumps({**record_to_json(FULL), "number": float("inf")}),
        ),
        pytest.param(
            "[" * 100_000,
        ),
    ],
)
def test_a_line_that_is_no_record_is_an_error_that_names_file_and_line(tmp_path: Path, line: str) -> None:
    good = json.dumps(record_to_json(FULL))
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(compress(f"{good}\n{line}\n"))
    with pytest.raises(CorpusUnreadable, match=r"some\.jsonl\.gz:2"):
        list(read_record_file(path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        '{"schema_version": 2, "files": {}}',
        '{"schema_version": 1}',
        b"\xff\xfe",
        pytest.param(
            '{"schema_version": 1, "files": []}',
        ),
        pytest.param(
            '{"schema_version": 1, "files": {"a.jsonl.gz": {}}}',
        ),
    ],
)
def test_a_broken_manifest_is_an_error_that_names_it(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CorpusUnreadable, match=MANIFEST):
        list(read_records(tmp_path))


def test_a_folder_without_a_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusUnreadable, match="kwiki ingest records"):
        read_manifest(tmp_path)

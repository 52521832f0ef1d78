"""The shipped records: complete, clean, and each locator leads to an added line that says what it claims."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from ingest_parts import RECORDS, ROOT

from ingest.record_files import Tally, import_files
from kernelwiki.grounding.check import check_record
from kernelwiki.model import Evidence, Record
from kernelwiki.reading.records import read_manifest, read_record_file, read_records, write_records
from kernelwiki.reading.vocabulary import Vocabulary

DTYPES = yaml.safe_load((ROOT / "ingest" / "evidence.yaml").read_text(encoding="utf-8"))["dtypes"]
FILES = read_manifest(RECORDS)["files"]
SAMPLE = 200


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """Every shipped record by id."""
    return {record.id: record for record in read_records(RECORDS)}


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_sum_and_the_counts_that_the_manifest_says(name: str) -> None:
    entry = FILES[name]
    rows = list(read_record_file(RECORDS / name))
    assert hashlib.sha256((RECORDS / name).read_bytes()).hexdigest() == entry["sha256"]
    assert len(rows) == entry["records"]
    assert sum(len(row.evidence) for row in rows) == entry["evidence"]
    assert {row.repo for row in rows} == {entry["repo"]}
    dates = [row.merged_at for row in rows]
    assert (min(dates), max(dates)) == (entry["first_merged_at"], entry["cut_off"])
    assert [row.number for row in rows] == sorted({row.number for row in rows})


def test_the_manifest_lists_every_file_and_no_other() -> None:
    assert {path.name for path in RECORDS.glob("*.gz")} == set(FILES)
    assert read_manifest(RECORDS)["records"] == sum(entry["records"] for entry in FILES.values())


def test_about_fifteen_thousand_pull_requests_are_shipped(records: dict[str, Record]) -> None:
    assert 14_000 <= len(records) <= 17_000


@pytest.mark.parametrize("record_id", ["vllm#23696", "flashinfer#2901"])
def test_a_pull_request_that_engineers_ask_for_is_shipped(records: dict[str, Record], record_id: str) -> None:
    assert record_id in records


def test_every_record_passes_the_check(records: dict[str, Record]) -> None:
    assert [problem for record in records.values() for problem in check_record(record)] == []


def test_no_record_holds_an_address_a_link_or_text_of_a_description(records: dict[str, Record]) -> None:
    for record in records.values():
        assert record.body == "", record.id
        names = [*record.identifiers, *record.mentions, *(item.name for item in record.evidence)]
        for text in (record.title, *names):
            assert not re.search(r"[\w.+-]+@[\w-]+\.[A-Za-z]{2,}", text), (record.id, text)
            assert text.isprintable(), record.id
        for name in names:
            assert "://" not in name and not re.search(r"\s", name), (record.id, name)
        assert all(len(name) <= 72 for name in names), record.id


def test_mentions_are_terms_of_the_vocabulary(records: dict[str, Record], vocabulary: Vocabulary) -> None:
    assert {term for record in records.values() for term in record.mentions} <= set(vocabulary.terms)


def test_nothing_else_is_stored_than_the_fields_of_a_record() -> None:
    known = {"id", "repo", "number", "title", "url", "merged_at", "merge_sha", "files", "evidence", "mentions", "identifiers"}
    known |= {"selection", "score", "summary", "symptoms", "techniques"}
    for name in FILES:
        for line in gzip.decompress((RECORDS / name).read_bytes()).splitlines():
            assert set(json.loads(line)) <= known


def _sampled(records: dict[str, Record]) -> list[tuple[Record, Evidence]]:
    with_line = [(record, item) for record in records.values() for item in record.evidence if item.line]
    return random.Random(20261120).sample(with_line, SAMPLE)


@cache
def _patches(folder: Path, repo: str, wanted: frozenset[int]) -> dict[int, str]:
    found = {}
    with gzip.open(folder / f"{repo.rsplit('/', 1)[1]}.diffs.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            number = re.search(r'"number": (\d+)', line[:200])
            if number and int(number.group(1)) in wanted:
                row = json.loads(line)
                found[row["number"]] = row["patch"]
    return found


def _file_lines(patch: str, path: str) -> Iterator[tuple[int, str, str]]:
    """(line number, sign, text) of one file's hunks, counted from the hunk ranges alone."""
    for part in re.split(r"^(?=diff --git )", patch, flags=re.M):
        if f"\n+++ b/{path}\n" not in part.replace("\t\n", "\n"):
            continue
        for start, body in re.findall(r"^@@ -\S+ \+(\d+)\S* @@.*\n((?:[ +\-\\].*(?:\n|\Z)|\n)*)", part, flags=re.M):
            kept = [line for line in body.split("\n") if not line.startswith(("-", "\\"))]
            yield from ((int(start) + index, line[:1], line[1:]) for index, line in enumerate(kept))


def _says(item: Evidence, text: str) -> bool:
    if item.kind == "hunk":
        return True  # A hunk names a place: that the line is added is all it claims.
    if item.kind == "dtype":
        spellings = {spelling for spelling, name in DTYPES.items() if name == item.name} | {item.name, item.name.upper()}
        return any(re.search(rf"\b{re.escape(spelling)}\b", text) for spelling in spellings)
    if item.kind == "arch":
        if not item.name.startswith("sm"):
            return item.name in text.lower()
        return bool(re.search(rf"(?:sm_?|compute_){item.name[2:]}|__CUDA_ARCH__\s*[<>=]+\s*{item.name[2:]}0", text, re.I))
    if item.kind == "tile":
        return item.name in re.sub(r"\s+|cute::", "", text)
    return re.search(rf"(?<!\w)_{{0,2}}{re.escape(item.name)}", text) is not None


def test_two_hundred_random_locators_lead_to_an_added_line_with_the_name(records: dict[str, Record], shared_prs: Path) -> None:
    sample = _sampled(records)
    wanted: dict[str, set[int]] = {}
    for record, _ in sample:
        wanted.setdefault(record.repo, set()).add(record.number)
    for record, item in sample:
        patch = _patches(shared_prs, record.repo, frozenset(wanted[record.repo]))[record.number]
        lines = [(sign, text) for number, sign, text in _file_lines(patch, str(item.path)) if number == item.line]
        assert any(sign == "+" and (item.kind == "family" or _says(item, text)) for sign, text in lines), (record.id, item, lines)


def test_a_kernel_family_stands_where_a_name_or_a_path_of_it_does(records: dict[str, Record], vocabulary: Vocabulary) -> None:
    families = [(record, item) for record in records.values() for item in record.evidence if item.kind == "family"]
    assert len(families) > 5_000
    for record, item in families:
        named = {
            term
            for other in record.evidence
            if (other.path, other.line) == (item.path, item.line)
            for term in vocabulary.of_name(other.name)
        }
        assert item.path
        assert item.name in named or item.name in vocabulary.of_path(item.path), (record.id, item)


def test_every_record_with_a_diff_that_adds_a_line_leads_to_a_line(records: dict[str, Record], shared_prs: Path) -> None:
    with gzip.open(shared_prs / "DeepGEMM.diffs.jsonl.gz", "rt", encoding="utf-8") as file:
        numbers = {row["number"] for row in map(json.loads, file) if re.search(r"^\+(?!\+\+ )", row["patch"], re.M)}
    assert len(numbers) > 30
    for number in numbers:
        record = records.get(f"DeepGEMM#{number}")
        assert record is None or any(item.line for item in record.evidence), number


def test_the_locator_check_can_fail() -> None:
    patch = "diff --git a/k.cu b/k.cu\n--- a/k.cu\n+++ b/k.cu\n@@ -1,2 +1,3 @@\n a\n-b\n+wgmma.fence\n c\n"
    assert list(_file_lines(patch, "k.cu"))[:3] == [(1, " ", "a"), (2, "+", "wgmma.fence"), (3, " ", "c")]
    assert _says(Evidence("instruction", "wgmma.fence", "k.cu", 2), "wgmma.fence.sync")
    assert not _says(Evidence("instruction", "ldmatrix.sync", "k.cu", 2), "wgmma.fence.sync")
    assert not _says(Evidence("dtype", "bf16", "k.cu", 2), "float16")
    assert not _says(Evidence("arch", "sm90", "k.cu", 2), "sm_100a")


@pytest.mark.parametrize("name", ["FlashMLA", "DeepGEMM", "ThunderKittens", "cutlass", "flash-attention", "flashinfer", "sglang", "vllm"])
def test_ingesting_a_repository_again_gives_the_shipped_bytes(name: str, shared_prs: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    found = list(import_files([shared_prs / f"{name}.prs.jsonl.gz"], vocabulary, Tally()))
    (written,) = write_records(tmp_path, found)["files"]
    assert gzip.decompress((tmp_path / written).read_bytes()) == gzip.decompress((RECORDS / written).read_bytes())
    assert (tmp_path / written).read_bytes() == (RECORDS / written).read_bytes()

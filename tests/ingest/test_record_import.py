"""Pull requests in, records out: only facts and names pass, and no line of a file stops the run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ingest_parts import PATCH, PATHS, pull_request, write_lines

from ingest.describe import identifiers, plain_body
from ingest.record_files import Tally, diffs_beside, distinct_ids, import_files, read_lines
from kernelwiki.errors import CorpusUnreadable
from kernelwiki.grounding.check import check_record
from kernelwiki.model import Record
from kernelwiki.reading.records import dump_line, read_records, write_records
from kernelwiki.reading.vocabulary import Vocabulary

Import = Callable[..., tuple[list[Record], Tally]]


def test_a_pull_request_becomes_a_record_of_its_facts(import_rows: Import) -> None:
    (record,), tally = import_rows([pull_request()], {7: PATCH})
    assert (tally.read, tally.kept, tally.left_out, tally.rejected) == (1, 1, 0, [])
    assert (record.id, record.repo, record.number) == ("fastkernels#7", "acme/fastkernels", 7)
    assert record.title == "Add a tcgen05 GEMM kernel"
    assert [file.path for file in record.files] == list(PATHS)
    assert record.archs == ("gfx942", "sm100", "sm90")
    assert "launch_gemm_persistent" in record.identifiers
    assert "tcgen05" in record.mentions
    assert list(check_record(record)) == []


def test_a_pull_request_without_a_diff_keeps_its_paths_and_title_evidence(import_rows: Import) -> None:
    files = [{"path": "csrc/fmha_sm100.cu", "additions": 3, "deletions": 1}]
    (record,), _ = import_rows([pull_request(title="Add a B300 kernel", files=files)])
    assert [(item.kind, item.name, item.path, item.line) for item in record.evidence] == [
        ("arch", "sm100", "csrc/fmha_sm100.cu", None),
        ("arch", "sm103", None, None),
    ]


def test_an_architecture_that_only_the_description_names_is_no_evidence(import_rows: Import) -> None:
    body = "Tested on H100 and sm_100a, see <!-- sm90 --> the notes."
    (record,), _ = import_rows([pull_request(title="Add a Blackwell kernel", body=body)])
    assert record.archs == ()


def test_a_pull_request_that_the_policy_leaves_out_is_counted(import_rows: Import) -> None:
    found, tally = import_rows([pull_request(files=[{"path": "README.md", "additions": 1, "deletions": 0}])])
    assert (found, tally.read, tally.left_out) == ([], 1, 1)


def test_evidence_of_a_path_that_the_pull_request_does_not_change_is_dropped(import_rows: Import) -> None:
    stranger = PATCH.replace("include/tiles.hpp", "include/other.hpp")
    (record,), _ = import_rows([pull_request()], {7: stranger})
    assert {item.path for item in record.evidence} <= {*PATHS, None}
    assert list(check_record(record)) == []


def test_a_diff_of_another_repository_with_the_same_number_is_not_used(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = write_lines(tmp_path / "mixed.prs.jsonl", [pull_request(), pull_request(repo="other/fastkernels")])
    write_lines(tmp_path / "mixed.diffs.jsonl", [{"repo": "other/fastkernels", "number": 7, "patch": PATCH}])
    mine, other = import_files([path], vocabulary, Tally())
    assert not any(item.line for item in mine.evidence)
    assert any(item.line for item in other.evidence)


SECRET_BODY = """\
The quick kernel jumps over the lazy scheduler and halves the latency of the decode step.
Contact jane.doe@example.com or <mailto:team_lead@corp.example.org>; see https://internal.example.com/secret_page?token=abc_DEF123
![image](https://user-images.example/very_private_image.png) <!-- reviewer_only_note -->
```python
print(secret_code_line)
```
- [ ] I have read_the_guide
Calls `launch_gemm_persistent` and TileScheduler::advance.
Co-authored-by: Some_Person99 <some_person99@example.com>
"""


def test_addresses_links_code_and_sentences_of_a_description_never_reach_the_record(import_rows: Import) -> None:
    (record,), _ = import_rows([pull_request(body=SECRET_BODY)])
    line = dump_line(record)
    for secret in (
        "@",
        "example.com",
        "example.org",
        "internal",
        "token",
        "private_image",
        "reviewer_only",
        "secret_code_line",
        "read_the_guide",
    ):
        assert secret not in line.replace(record.url, ""), secret
    assert "lazy scheduler" not in line
    assert record.body == record.summary == ""


def test_identifiers_are_single_code_names_by_frequency() -> None:
    body = "tile_shape tile_shape TileScheduler::advance plain words only e.g. i.e. x y --enable-mla fp8"
    found = list(identifiers(plain_body(body), ""))
    assert found[0] == "tile_shape"
    assert "TileScheduler::advance" in found
    assert not {"plain", "words", "e.g", "i.e", "x"} & set(found)


def test_functions_around_a_hunk_are_identifiers() -> None:
    patch = "diff --git a/k.cu b/k.cu\n--- a/k.cu\n+++ b/k.cu\n@@ -1,2 +1,3 @@ void run_flash_fwd(Params p) {\n a\n+b\n"
    assert list(identifiers("", patch)) == ["run_flash_fwd"]


@pytest.mark.parametrize(
    "body",
    ["- [x] done\nCalls launch_after_list.", "# Purpose\nCalls launch_after_list.\nMore about the tests here.\n# Notes\nlaunch_after_list"],
    ids=["check list", "heading before the word tests"],
)
def test_what_follows_a_check_list_or_a_heading_is_still_read(body: str) -> None:
    assert list(identifiers(plain_body(body), "")) == ["launch_after_list"]


@pytest.mark.parametrize("heading", ["## Checklist", "## Reviewer Notes", "### Related Issues", "## Pre-commit"])
def test_template_sections_are_left_out(heading: str) -> None:
    assert "template_name" not in plain_body(f"Intro real_name\n{heading}\ntemplate_name\n")


def test_a_handle_is_no_identifier() -> None:
    assert list(identifiers(plain_body("Thanks @some-userName2 and @other_user"), "")) == []


BAD_LINES = {
    "no JSON": "{this is not json",
    "empty line": "",
    "a list": "[1, 2]",
    "a number": "5",
    "null": "null",
    "deep nesting": "[" * 100_000,
    "deep body": '{"repo": ' + "[" * 100_000,
    "huge integer": '{"number": ' + "9" * 5000 + "}",
    "binary": "\x00\x01\x02\ufffd",
    "no title": pull_request(title=None),
    "blank title": pull_request(title=" \t"),
    "title is a list": pull_request(title=["kernel"]),
    "title is an object": pull_request(title={"kernel": 1}),
    "no number": pull_request(number=None),
    "number is text": pull_request(number="seven"),
    "number is infinite": json.dumps(pull_request()).replace('"number": 7', '"number": Infinity'),
    "number overflows": json.dumps(pull_request()).replace('"number": 7', '"number": 1e999'),
    "number is no number": json.dumps(pull_request()).replace('"number": 7', '"number": NaN'),
    "number is a fraction": pull_request(number=7.5),
    "number is true": pull_request(number=True),
    "number is negative": pull_request(number=-7),
    "number is beyond any": pull_request(number=2**40),
    "repository walks up": pull_request(repo="../../etc/passwd"),
    "repository has a zero byte": pull_request(repo="acme/fast\x00kernels"),
    "repository is endless": pull_request(repo="acme/" + "k" * 300),
    "repository has no owner": pull_request(repo="fastkernels"),
    "repository is a number": pull_request(repo=5),
    "url is a script": pull_request(url="javascript:alert(1)"),
    "url has a control character": pull_request(url="https://example.com/\x1b[31m"),
    "date is no date": pull_request(merged_at="yesterday"),
    "sha is short": pull_request(merge_sha="abc"),
    "sha is upper case": pull_request(merge_sha="A" * 40),
    "body is a list": pull_request(body=["text"]),
    "files is a number": pull_request(files=5),
    "files are strings": pull_request(files=["csrc/a.cu"]),
    "file without a path": pull_request(files=[{"additions": 1}]),
    "path is a number": pull_request(files=[{"path": 5, "additions": 1, "deletions": 1}]),
    "additions are text": pull_request(files=[{"path": "csrc/a.cu", "additions": "7", "deletions": 1}]),
    "additions are infinite": json.dumps(pull_request()).replace('"additions": 9', '"additions": Infinity'),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_counted_with_its_place_and_the_next_one_is_read(import_rows: Import, line: Any) -> None:
    found, tally = import_rows([pull_request(1), line, pull_request(3)])
    assert [record.number for record in found] == [1, 3]
    assert (tally.read, tally.kept, len(tally.rejected)) == (3, 2, 1)
    assert tally.rejected[0].startswith("some.prs.jsonl.gz:2: ")
    assert tally.rejected[0].isprintable() and len(tally.rejected[0]) < 300


HARMLESS = {
    "no files": {"files": None},
    "no body": {"body": None},
    "a binary file": {"files": [{"path": "csrc/a.cu", "additions": None, "deletions": None}]},
    "control characters in the title": {"title": "Add a\x1b[31m kernel\x07\n\u202e for\x00 GEMM"},
    "a lone surrogate in the title": {"title": "Add \ud800 kernel"},
    "an endless title": {"title": "kernel " * 1_000_000},
    "path walks up": {"files": [{"path": "../../../etc/cron.d/kernel.cu", "additions": 1, "deletions": 0}]},
    "path is absolute": {"files": [{"path": "/etc/kernel.cu", "additions": 1, "deletions": 0}]},
    "path has control characters": {"files": [{"path": "csrc/\x1b[2Ja\n\x00.cu", "additions": 1, "deletions": 0}]},
    "path has a lone surrogate": {"files": [{"path": "csrc/\udcff.cu", "additions": 1, "deletions": 0}]},
    "unknown keys": {"labels": [{}], "extra": {"deep": [[]]}},
    "a zero byte in the description": {"body": "launch_\x00kernel \ud800 text"},
}


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
def test_odd_but_readable_values_give_a_record_that_can_be_written_and_read(import_rows: Import, tmp_path: Path, changes: Any) -> None:
    found, tally = import_rows([pull_request(**changes)])
    assert (len(found), tally.rejected) == (1, [])
    before = set(tmp_path.rglob("*"))
    write_records(tmp_path / "out", found)
    assert list(read_records(tmp_path / "out")) == found
    assert {path.parent for path in tmp_path.rglob("*") if path not in before} == {tmp_path, tmp_path / "out"}
    assert dump_line(found[0]).isprintable()
    assert len(found[0].title) <= 500
    assert list(check_record(found[0])) == []


@pytest.mark.parametrize(
    "unit",
    ["word ", "a", "<!-- ", "<a ", "```", "https://", "x@", "a-", "# x\n", "- [ ] a\n", "\n", "aB"],
)
def test_a_ten_megabyte_description_is_read_in_time(import_rows: Import, unit: str) -> None:
    started = time.process_time()
    found, _ = import_rows([pull_request(body=unit * (10_000_000 // len(unit)))])
    assert len(found) == 1
    assert time.process_time() - started < 60  # seconds of CPU: linear takes 4, quadratic hours


def test_a_number_that_occurs_twice_is_stored_once_and_the_last_wins(import_rows: Import, tmp_path: Path) -> None:
    found, tally = import_rows([pull_request(title="First kernel"), pull_request(title="Second kernel")])
    assert tally.kept == 2
    assert write_records(tmp_path / "out", found)["records"] == 1
    assert [record.title for record in read_records(tmp_path / "out")] == ["Second kernel"]


def test_two_owners_of_the_same_name_get_different_ids(import_rows: Import) -> None:
    found, _ = import_rows([pull_request(), pull_request(repo="other/fastkernels"), pull_request(8, repo="other/fastkernels")])
    assert [record.id for record in distinct_ids(found)] == ["fastkernels#7", "other/fastkernels#7", "other/fastkernels#8"]
    ids = [record.id for record in distinct_ids(found, taken=["other/fastkernels"])]
    assert ids == ["acme/fastkernels#7", "fastkernels#7", "fastkernels#8"]
    for record in distinct_ids(found):
        assert list(check_record(record)) == []


def test_plain_and_compressed_files_give_the_same_records(tmp_path: Path, vocabulary: Vocabulary) -> None:
    imported = []
    for ending in ("jsonl", "jsonl.gz"):
        path = write_lines(tmp_path / f"x.prs.{ending}", [pull_request(number) for number in (1, 2, 3)])
        write_lines(tmp_path / f"x.diffs.{ending}", [{"repo": "acme/fastkernels", "number": 2, "patch": PATCH}])
        imported.append(list(import_files([path], vocabulary, Tally())))
    assert imported[0] == imported[1]
    assert any(item.line for item in imported[0][1].evidence)


INFINITE_NUMBER = '{"repo": "acme/fastkernels", "number": Infinity, "patch": ""}'


@pytest.mark.parametrize("line", [INFINITE_NUMBER, *(line for line in BAD_LINES.values() if isinstance(line, str))])
def test_bad_lines_among_the_diffs_are_passed_over(tmp_path: Path, vocabulary: Vocabulary, line: str) -> None:
    path = write_lines(tmp_path / "x.prs.jsonl", [pull_request()])
    write_lines(tmp_path / "x.diffs.jsonl", [line, {"repo": "acme/fastkernels"}, {"repo": "acme/fastkernels", "number": 7, "patch": PATCH}])
    (record,) = import_files([path], vocabulary, Tally())
    assert any(item.line for item in record.evidence)


@pytest.mark.parametrize("which", ["prs", "diffs"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "header only"])
def test_a_broken_gzip_file_is_an_error_that_names_it(tmp_path: Path, vocabulary: Vocabulary, which: str, damage: str) -> None:
    path = write_lines(tmp_path / "x.prs.jsonl.gz", [pull_request(number) for number in range(1, 200)])
    write_lines(tmp_path / "x.diffs.jsonl.gz", [{"repo": "acme/fastkernels", "number": 7, "patch": PATCH}])
    broken = tmp_path / f"x.{which}.jsonl.gz"
    data = broken.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 20]) + data[middle + 20 :]
    broken.write_bytes({"truncated": data[:middle], "flipped": flipped, "header only": data[:4]}[damage])
    with pytest.raises(CorpusUnreadable, match=rf"x\.{which}\.jsonl\.gz"):
        list(import_files([path], vocabulary, Tally()))


def test_an_empty_file_gives_nothing(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    tally = Tally()
    assert (list(import_files([path], vocabulary, tally)), tally) == ([], Tally())


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CorpusUnreadable, match=r"nowhere\.jsonl"):
        list(read_lines(tmp_path / "nowhere.jsonl"))


def test_diffs_are_looked_for_beside_the_file_only(tmp_path: Path) -> None:
    (tmp_path / "x.diffs.jsonl.gz").touch()
    assert diffs_beside(tmp_path / "x.prs.jsonl.gz") == tmp_path / "x.diffs.jsonl.gz"
    assert diffs_beside(tmp_path / "y.prs.jsonl.gz") is None
    assert diffs_beside(tmp_path / "x.diffs.jsonl.gz") is None

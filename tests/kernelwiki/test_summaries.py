"""Summaries of pull requests: their form, and that each says only what its record and its facts say; facts stand upstream."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.grounding.upstream import check_upstream, read_upstream, unproven
from kernelwiki.home import corpus_folder
from kernelwiki.model import Page, Source
from kernelwiki.reading.pages import read_pages
from kernelwiki.reading.records import read_records
from kernelwiki.reading.summaries import Summary, SummaryFact, read_summaries, read_summary_file, summary_files

SHARED = Path(__file__).parents[3] / "shared" / "prs"
LINE: dict[str, Any] = {
    "id": "kernels#1",
    "summary": "Loads the A tile with TMA multicast through `cp.async.bulk.tensor.2d`, so that two CTAs share one read.",
    "symptoms": ["the A tile is read twice by neighbouring CTAs"],
    "techniques": ["tma"],
    "archs": ["sm90"],
    "facts": [{"at": "csrc/tma_load.cuh:12", "names": ["2 CTAs share one tile"]}],
}
PATCH = """diff --git a/csrc/tma_load.cuh b/csrc/tma_load.cuh
--- a/csrc/tma_load.cuh
+++ b/csrc/tma_load.cuh
@@ -10,3 +10,4 @@ __device__ void load(
 int a;
-cp_async_old(a);
+cp.async.bulk.tensor.2d.multicast(a, 2);
+int unrelated = 77;
 int b;
"""


def write(corpus, *rows: dict[str, Any], name: str = "kernels.jsonl") -> Path:
    folder = corpus.folder / "summaries"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_grounded_summary_is_no_problem(small_corpus) -> None:
    write(small_corpus, LINE)
    assert small_corpus.problems() == []


@pytest.mark.parametrize(
    ("changes", "rule", "word"),
    [
        ({"id": "kernels#9"}, "summary", "not in the knowledge base"),
        ({"id": "attention#7"}, "summary", "its file is attention.jsonl"),
        (
            {"summary": "Loads the A tile with TMA multicast through `cp.async.bulk.tensor.5d` for two CTAs."},
            "grounding",
            "cp.async.bulk.tensor.5d",
        ),
        ({"summary": "Loads the A tile with TMA multicast for 16 CTAs that share one read."}, "grounding", "16"),
        ({"summary": "Loads it. Loads TMA. Loads the tile. Loads multicast."}, "summary", "more than 3 sentences"),
        ({"summary": "Sorts sampled words by frequency before printing them out.", "facts": []}, "summary", "is the id right"),
        (
            {"summary": "Prints multicast letters, sentences, paragraphs, chapters and whole novels before a TMA report is sorted."},
            "summary",
            "is the id right",
        ),
        ({"symptoms": ["kernel takes 93 registers"]}, "grounding", "93"),
        ({"techniques": ["warp-drive"]}, "tag", "warp-drive"),
        ({"archs": ["sm120"]}, "arch", "sm120"),
        ({"archs": ["hopper"]}, "arch", "hopper"),
        ({"facts": [{"at": "csrc/gone.cuh:3", "names": ["2"]}]}, "evidence", "csrc/gone.cuh"),
        ({"facts": [{"at": "title", "names": ["split-K"]}]}, "evidence", "split-K"),
    ],
)
def test_a_summary_that_says_more_than_its_pull_request_is_found(small_corpus, changes: dict[str, Any], rule: str, word: str) -> None:
    write(small_corpus, {**LINE, **changes})
    problems = small_corpus.problems()
    assert any(problem.rule == rule and word in problem.message for problem in problems), problems


def test_lines_out_of_order_or_twice_are_found(small_corpus) -> None:
    write(small_corpus, LINE, LINE)
    assert [problem.rule for problem in small_corpus.problems()] == ["summary"]


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "kernels#1"}', '{"id": "kernels", "summary": "long enough to be a summary"}'])
def test_a_line_that_is_no_summary_is_named_with_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kernels.jsonl"
    path.write_text(f"\n{text}\n", encoding="utf-8")
    with pytest.raises(CorpusUnreadable, match=r"kernels\.jsonl:2"):
        list(read_summary_file(path))


@pytest.mark.parametrize(
    ("at", "path", "line"),
    [("title", "", None), ("body", "", None), ("a/b.py", "a/b.py", None), ("a/b.py:12", "a/b.py", 12)],
)
def test_the_place_of_a_fact_is_a_path_a_line_or_a_text(at: str, path: str, line: int | None) -> None:
    fact = SummaryFact(at, ())
    assert (fact.path, fact.line) == (path, line)


def upstream(tmp_path: Path) -> Path:
    """A folder of pull requests as `kwiki ingest records` reads them, with one of our own."""
    row = {
        "repo": "acme/kernels",
        "number": 1,
        "title": "Load the A tile",
        "body": "Two CTAs share it: 2x fewer reads.",
        "files": [{"path": "csrc/tma_load.cuh"}],
    }
    for name, data in (("prs", row), ("diffs", {"repo": "acme/kernels", "number": 1, "patch": PATCH})):
        with gzip.open(tmp_path / f"kernels.{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write(json.dumps(data) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("at", "name", "proven"),
    [
        ("title", "A tile", True),
        ("title", "B100", False),
        ("body", "2x", True),
        ("csrc/tma_load.cuh:11", "cp.async.bulk.tensor.2d", True),
        ("csrc/tma_load.cuh:11", "cp_async_old", True),
        ("csrc/tma_load.cuh:40", "cp.async.bulk.tensor.2d", False),
        ("csrc/tma_load.cuh", "77", True),
        ("csrc/tma_load.cuh", "78", False),
        ("csrc/tma_load.cuh:11", "made_up", False),
    ],
)
def test_a_fact_is_proven_only_at_the_place_it_names(small_corpus, tmp_path: Path, at: str, name: str, proven: bool) -> None:
    records = {record.id: record for record in small_corpus.records}
    summary = Summary("kernels#1", "text", facts=(SummaryFact(at, (name,)),))
    problems = list(check_upstream([], [summary], records, upstream(tmp_path)))
    assert (problems == []) is proven, problems


@pytest.mark.parametrize(
    ("line", "fact", "proven"), [(11, "2 CTAs in cp.async.bulk.tensor.2d", True), (11, "`made_up`", False), (90, "2", False)]
)
def test_the_facts_of_a_page_are_proven_near_their_line(small_corpus, tmp_path: Path, line: int, fact: str, proven: bool) -> None:
    source = Source("k-1", "evidence", id="kernels#1", path="csrc/tma_load.cuh", line=line, facts=(fact,))
    page = Page("hardware/tma", "T", "hardware", (), (), (), (source,), "sourced", "none", ())
    problems = list(check_upstream([page], [], {record.id: record for record in small_corpus.records}, upstream(tmp_path)))
    assert (problems == []) is proven, problems


def test_names_and_numbers_are_proven_without_case_and_words_are_ours() -> None:
    assert unproven("our words about `TMA_Load` and 1,024 rows", "uses tma_load with 1024") == []
    assert unproven("`tma_load` of 512 rows", "tma_load 1024 x5120") == ["512"]


def test_a_folder_without_the_repository_proves_nothing_and_fails_nothing(small_corpus, tmp_path: Path) -> None:
    assert read_upstream(tmp_path, small_corpus.records) == {}


def test_the_command_proves_facts_against_a_folder(small_corpus, tmp_path: Path) -> None:
    write(small_corpus, {**LINE, "facts": [{"at": "csrc/tma_load.cuh:11", "names": ["2 CTAs", "never_there"]}]})
    run = small_corpus.run("check", "--upstream", str(upstream(tmp_path)))
    assert run.code == 1
    assert "upstream: kernels#1: 'never_there'" in run.out
    assert "'2" not in run.out


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/prs is not beside the checkout")
def test_every_shipped_fact_stands_in_its_pull_request() -> None:
    corpus = corpus_folder()
    records = {record.id: record for record in read_records(corpus / "records")}
    summaries = read_summaries(corpus / "summaries")
    assert list(check_upstream(read_pages(corpus / "pages"), summaries.values(), records, SHARED)) == []


def test_shipped_summaries_are_spread_and_sorted() -> None:
    for path in summary_files(corpus_folder() / "summaries"):
        numbers = [summary.number for summary in read_summary_file(path)]
        assert numbers == sorted(set(numbers)), path.name

"""Reverts: a later pull request that took an earlier one back is named wherever the earlier one is shown or cited."""

from __future__ import annotations

import pytest
from conftest import make_record

from kernelwiki.reading.reverts import revert_of, reverted_by

REPO = "acme/kernels"
FIRST = make_record(REPO, 1, "[Kernel] Faster copy of tiles (#1)", merged_at="2025-01-15T10:00:00Z")


@pytest.mark.parametrize(
    "title",
    [
        'Revert "[Kernel] Faster copy of tiles (#1)"',
        'Revert "[Kernel] Faster copy of tiles"',
        '[Bugfix] Revert "Faster copy of tiles" (#1)',
        "Reverts PR 1",
        'Revert "[Kernel] Faster copy of t…',
        "[CI Bug] Revert #1 to fix CI",
        "Revert PR 7 & 1 related to copies",
    ],
)
def test_a_title_that_says_so_takes_the_pull_request_back(title: str) -> None:
    later = revert_of(make_record(REPO, 2, title, merged_at="2025-02-01T10:00:00Z"))
    assert later is not None and reverted_by(FIRST, [later]) == ("kernels#2",)


@pytest.mark.parametrize(
    ("repo", "number", "title", "merged"),
    [
        (REPO, 2, "Faster copy reverted to the old layout (#1)", "2025-02-01"),
        (REPO, 2, 'Revert "Slower copy"', "2025-02-01"),
        (REPO, 2, 'Revert "[Kernel] Faster copy of tiles (#7)"', "2025-02-01"),
        (REPO, 2, "Revert #12", "2025-02-01"),
        (REPO, 2, 'Revert "[Kernel] Faster copy of tiles"', "2025-08-01"),
        ("other/kernels", 2, "Revert #1", "2025-02-01"),
        (REPO, 2, 'Revert "[Kernel]…', "2025-02-01"),
        (REPO, 2, "Revert the MoE dependence", "2025-02-01"),
    ],
    ids=["not a revert", "other title", "other number", "longer number", "too late", "other repository", "cut too short", "no name"],
)
def test_any_other_title_takes_nothing_back(repo: str, number: int, title: str, merged: str) -> None:
    later = revert_of(make_record(repo, number, title, merged_at=f"{merged}T10:00:00Z"))
    assert reverted_by(FIRST, [later] if later else []) == ()


def test_search_and_show_name_the_revert_and_a_grown_index_learns_of_it(small_corpus) -> None:
    first = make_record(REPO, 1, "Zebra stripes in shared memory", merged_at="2025-01-15T10:00:00Z")
    small_corpus.write(first)
    assert small_corpus.run("search", "zebra stripes", "--json").json["results"][0].get("reverted_by") is None
    small_corpus.write(first, make_record(REPO, 2, 'Revert "Zebra stripes in shared memory"', merged_at="2025-02-01T10:00:00Z"))
    hits = {hit["id"]: hit for hit in small_corpus.run("search", "zebra stripes", "--json").json["results"]}
    assert hits["kernels#1"]["reverted_by"] == ["kernels#2"] and "reverted_by" not in hits["kernels#2"]
    assert "reverted by kernels#2" in small_corpus.run("search", "zebra stripes").out
    assert "reverted by kernels#2" in small_corpus.run("show", "kernels#1").out
    assert small_corpus.run("show", "kernels#1", "--json").json["reverted_by"] == ["kernels#2"]


def test_a_page_that_cites_what_was_taken_back_must_name_the_revert(small_corpus) -> None:
    taken = make_record(REPO, 9, "Revert #1", merged_at="2025-09-01T10:00:00Z")
    small_corpus.write(*small_corpus.records, taken)
    assert [(problem.rule, problem.where) for problem in small_corpus.problems()] == [("reverted", "hardware/tma")]
    assert "kernels#9" in small_corpus.problems()[0].message

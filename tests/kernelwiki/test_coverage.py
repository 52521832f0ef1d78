"""Coverage and index pages: what is missing is named, and the generated lists are the ones that the pages give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kernelwiki.coverage import coverage, coverage_text
from kernelwiki.home import Places, corpus_folder
from kernelwiki.page_lists import index_files, stale_indexes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped_coverage() -> dict:
    return coverage(Places(corpus_folder(), Path()))


def test_every_finding_has_a_pattern_page(shipped_coverage) -> None:
    assert shipped_coverage["findings_without_page"] == []


def test_every_shipped_page_cites_pull_requests(shipped_coverage) -> None:
    assert shipped_coverage["pages_without_pull_requests"] == []


def test_every_contest_operator_has_a_page(shipped_coverage) -> None:
    assert shipped_coverage["contest_operators_without_page"] == []


def test_every_repository_has_its_cut_off_and_adds_up(shipped_coverage) -> None:
    assert len(shipped_coverage["repositories"]) == 8
    for row in shipped_coverage["repositories"]:
        assert row["cited"] + row["cited_nowhere"] == row["records"]
        assert row["cut_off"] > "2025"


def test_what_a_small_corpus_lacks_is_named(small_corpus) -> None:
    data = coverage(small_corpus.places)
    assert data["pages"] == {"hardware": 1, "technique": 1}
    assert "tail-effect" in data["findings_without_page"]
    assert data["terms_without_page"] == {"technique": ["kv-cache"], "symptom": ["register-spill"], "arch": ["sm90"]}
    assert "gdn-decode" in data["contest_operators_without_page"]
    kernels = next(row for row in data["repositories"] if row["repo"] == "acme/kernels")
    assert (kernels["cited"], kernels["cited_nowhere"], kernels["best_cited_nowhere"]) == (1, 1, ["kernels#2"])


def test_the_command_reports_coverage(small_corpus) -> None:
    text, data = small_corpus.run("stats", "--coverage"), small_corpus.run("stats", "--coverage", "--json")
    assert (text.code, data.code) == (0, 0)
    assert "terms without page, technique (1): kv-cache" in text.out
    assert data.json["terms_without_page"]["technique"] == ["kv-cache"]


def test_nothing_missing_reads_as_none(shipped_coverage) -> None:
    assert "findings without page: none" in coverage_text(shipped_coverage)


def test_an_index_lists_each_page_under_its_symptom_architecture_and_repository(small_corpus) -> None:
    files = index_files(small_corpus.places)
    assert set(files) == {
        f"{name}.md" for name in ("symptoms", "techniques", "hardware", "kernels", "languages", "repositories", "architectures")
    }
    assert "[copy a whole tile with one thread → Tensor Memory Accelerator](../pages/hardware/tma.md)" in files["symptoms.md"]
    assert "## sm90\n\n- [Tensor Memory Accelerator]" in files["architectures.md"]
    assert "## attention\n\n- [Split KV decoding: #7]" in files["repositories.md"]
    assert "## Split KV\n\n- [Split KV decoding]" in files["techniques.md"]


def test_a_stale_missing_or_surplus_index_is_named(small_corpus, tmp_path: Path) -> None:
    for name, text in index_files(small_corpus.places).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert stale_indexes(small_corpus.places, tmp_path) == []
    (tmp_path / "symptoms.md").write_text("old", encoding="utf-8")
    (tmp_path / "kernels.md").unlink()
    (tmp_path / "more.md").write_text("", encoding="utf-8")
    assert stale_indexes(small_corpus.places, tmp_path) == ["kernels.md", "more.md", "symptoms.md"]


def test_the_shipped_indexes_are_fresh_and_lead_to_pages() -> None:
    run = subprocess.run(
        [sys.executable, "docs/make_indexes.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr

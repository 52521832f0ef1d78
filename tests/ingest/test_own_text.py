"""From ingest to search: a phrase that only a description, a comment or a diff holds finds its pull request and its line."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_builder import Builder, kernel
from github_server import GitHub
from ingest_parts import ROOT, Run

from kernelwiki.reading.records import read_records, write_records

Kwiki = Callable[..., Run]
REPO = "acme/fastkernels"


@pytest.fixture(autouse=True)
def small_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of no records, so that an index is built in a moment."""
    corpus = tmp_path / "corpus"
    shutil.copytree(ROOT / "tests" / "fixtures" / "corpus", corpus)
    (corpus / "model").mkdir()
    for name in ("model.json", "model.onnx", "tokenizer.json"):
        (corpus / "model" / name).symlink_to(ROOT / "corpus" / "model" / name)
    write_records(corpus / "records", [])
    monkeypatch.setenv("KWIKI_CORPUS", str(corpus))


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub().running() as server:
        for number in (1, 2, 3):
            server.repository(REPO).add(number)
        yield server


def test_a_phrase_of_description_comment_or_diff_finds_the_pull_request_and_trace_leads_to_the_line(
    github: GitHub, kwiki: Kwiki, tmp_path: Path
) -> None:
    run = kwiki("ingest", "github", REPO, "--base-url", github.base_url, "--json")
    assert run.code == 0, run.err
    for phrase in ("zanzibar2 path", "quokka2 looks right", "wgmma_fence_marker2"):
        found = kwiki("search", phrase, "--repo", REPO, "--json").json["results"]
        assert found and found[0]["id"] == "fastkernels#2", phrase
    links = kwiki("trace", "fastkernels#2", "--all", "--json").json["links"]
    assert any((link.get("path"), link.get("line")) == ("csrc/decode_2.cu", 2) for link in links)
    rows = {row["repo"]: row for row in kwiki("stats", "--json").json["repositories"] if row["origin"] == "own"}
    assert (rows[REPO]["records"], rows[REPO]["cut_off"]) == (3, "2026-02-04")


def test_git_and_github_halves_become_one_record(github: GitHub, kwiki: Kwiki, tmp_path: Path) -> None:
    tree = Builder.new(tmp_path / "tree")
    tree.commit("Start", csrc__decode_2_DOT_cu=kernel(30))
    sha = tree.commit("Speed up decode, subject of git (#2)", csrc__decode_2_DOT_cu=kernel(30) + "mbarrier_of_git();\n")
    homes = {}
    for name, order in {"git first": ("git", "github"), "github first": ("github", "git"), "at once": ("clone",)}.items():
        home = homes[name] = tmp_path / name.replace(" ", "_")
        github.repository(REPO).pulls[2]["merge_commit_sha"] = sha
        for source in order:
            arguments = {
                "git": ("git", tree.path, "--repo", REPO),
                "github": ("github", REPO, "--base-url", github.base_url),
                "clone": ("github", REPO, "--base-url", github.base_url, "--clone", tree.path),
            }[source]
            run = kwiki("ingest", *arguments, home=home)
            assert run.code == 0, run.err
    records = {name: {record.number: record for record in read_records(home / "records")} for name, home in homes.items()}
    one = records["git first"][2]
    assert one.title == "Speed up the decode kernel" and "zanzibar2" in one.body and one.discussion
    assert one.merge_sha == one.line_sha == sha and one.sources == ("git", "github")
    assert [(hunk.path, hunk.line) for hunk in one.hunks] == [("csrc/decode_2.cu", 31)]
    assert one == records["github first"][2] == records["at once"][2]
    assert one.url.startswith("https://github.com/")


def test_a_token_is_explained_by_doctor(github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kwiki: Kwiki) -> None:
    github.token = "ghp_right"

    def seen() -> tuple[bool, str]:
        found = json.loads(kwiki("doctor", "--json").out)["findings"]
        return next((row["ok"], row["seen"]) for row in found if row["name"] == "github token")

    assert seen()[0] and "60 requests an hour" in seen()[1]
    monkeypatch.setenv("GITHUB_TOKEN", "Bearer ghp_right")
    assert not seen()[0] and "only the token itself" in seen()[1]
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_wrong")
    run = kwiki("ingest", "github", REPO, "--base-url", github.base_url)
    assert run.code == 5 and "GITHUB_TOKEN is not accepted" in run.err and "ghp_wrong" not in run.err
    assert not seen()[0] and "refused by" in seen()[1]
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_right")
    assert kwiki("ingest", "github", REPO, "--base-url", github.base_url).code == 0
    assert seen()[0] and "accepted by" in seen()[1]
    stored = subprocess.run(["grep", "-rl", "ghp_", str(tmp_path / "home")], capture_output=True, check=False)
    assert stored.stdout == b""


def test_own_records_are_found_without_a_token_network_or_new_arguments(github: GitHub, kwiki: Kwiki) -> None:
    assert kwiki("ingest", "github", REPO, "acme/nowhere", "--base-url", github.base_url).code == 3
    assert "include (score" in kwiki("ingest", "explain", "fastkernels#1").out
    status = kwiki("ingest", "status").out
    assert "acme/fastkernels: 3 records" in status

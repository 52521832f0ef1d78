"""GitHub ingest against a server on loopback, through the real PyGithub: first import, what changed, renames, plans, kept work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from github_bench import REPO, Bench, fill
from github_server import status

from ingest.errors import IngestError
from ingest.github_run import GitHubOptions
from ingest.github_sync import sync_all, sync_github
from ingest.session import Report, Session
from kernelwiki.home import Places, corpus_folder


def test_a_first_import_brings_text_labels_discussion_files_and_lines(bench: Bench) -> None:
    fill(bench.github, 3)
    report = bench.sync()
    assert (report.found, report.kept, report.added, report.failed, report.complete) == (3, 3, 3, 0, True)
    record = bench.records["fastkernels#2"]
    assert "zanzibar2" in record.body and record.labels == ("performance",) and record.sources == ("github",)
    assert record.discussion == ("Reviewed: quokka2 looks right.", "On this line of 2.")
    assert [(hunk.path, hunk.line) for hunk in record.hunks] == [("csrc/decode_2.cu", 2)]
    assert "wgmma_fence_marker2" in record.hunks[0].text
    assert any((item.path, item.line) == ("csrc/decode_2.cu", 2) for item in record.evidence)
    assert [(claim.metric, claim.value, claim.gpu, claim.said_in) for claim in record.claims] == [("speedup", 1.25, "H100", "body:1")]


def test_lines_count_in_the_head_of_the_branch_because_github_counts_them_there(bench: Bench) -> None:
    pull = bench.github.repository().add(7)
    bench.sync()
    record = bench.records["fastkernels#7"]
    assert record.merge_sha == pull["merge_commit_sha"]
    assert record.line_sha == pull["head"]["sha"] and record.line_sha in record.blob_url("a.cu", 3)


def test_pages_are_followed_by_the_link_header_at_the_same_host_and_port(bench: Bench) -> None:
    fill(bench.github, 250)
    assert bench.sync(talk=False).kept == 250
    lists = [path for path in bench.github.paths if "/pulls?" in path]
    assert len(lists) == 3 and all("per_page=100" in path and "sort=updated" in path for path in lists)
    assert len(bench.github.requests) == 3 + 250


def test_requests_carry_accept_version_and_token(bench: Bench) -> None:
    bench.github.token = "secret-token"
    fill(bench.github, 1)
    bench.sync(client=bench.client(token="secret-token"))
    for _, _, headers in bench.github.requests:
        assert headers["accept"] == "application/vnd.github+json"
        assert headers["x-github-api-version"] == "2022-11-28"
        assert headers["authorization"] == "token secret-token"


def test_a_second_run_of_an_unchanged_repository_is_one_conditional_request_and_changes_no_byte(bench: Bench) -> None:
    fill(bench.github, 120)
    bench.sync()
    before, requests = bench.content(), len(bench.github.requests)
    report = bench.sync()
    assert len(bench.github.requests) == requests + 1
    assert bench.github.statuses[304] == 1
    assert (report.requests, report.unchanged_requests, report.kept) == (1, 1, 0)
    assert bench.content() == before


def test_a_second_run_without_etags_is_one_request_too(bench: Bench) -> None:
    bench.github.etags = False
    fill(bench.github, 120)
    bench.sync()
    before = bench.content()
    assert bench.sync().requests == 1
    assert bench.content() == before


def test_only_what_changed_is_fetched_and_only_its_shard_is_rewritten(bench: Bench) -> None:
    fill(bench.github, 30)
    for number in (1500, 1501):
        bench.github.repository().add(number, updated="2026-01-15T00:00:00Z")
    bench.sync()
    before, requests = bench.content(), len(bench.github.requests)
    bench.github.repository().add(31, updated="2026-03-01T10:00:00Z")
    bench.github.repository().pulls[5].update(title="Speed up the prefill kernel", updated_at="2026-03-01T11:00:00Z")
    report = bench.sync()
    assert (report.kept, report.added, report.updated) == (2, 1, 1)
    new = bench.github.paths[requests:]
    assert sorted(path.split("?")[0].split("/", 4)[4] for path in new) == [
        "issues/31/comments", "issues/5/comments", "pulls", "pulls/31/comments", "pulls/31/files", "pulls/5/comments",
    ]  # fmt: skip
    assert bench.records["fastkernels#5"].title == "Speed up the prefill kernel"
    changed = {name for name, data in bench.content().items() if before.get(name) != data}
    assert not any(".0001." in name for name in changed) and any(".0000." in name for name in changed)


def test_a_comment_that_changes_nothing_we_keep_does_not_change_the_store(bench: Bench) -> None:
    fill(bench.github, 5)
    bench.sync()
    store = {name: data for name, data in bench.content().items() if name.startswith("records")}
    bench.github.repository().pulls[3]["updated_at"] = "2026-04-01T00:00:00Z"
    report = bench.sync()
    assert (report.kept, report.updated, report.unchanged) == (1, 0, 1)
    assert {name: data for name, data in bench.content().items() if name.startswith("records")} == store


def test_a_new_comment_is_kept(bench: Bench) -> None:
    fill(bench.github, 5)
    bench.sync()
    bench.github.repository().issue_comments[3].append({"body": "A later remark: axolotl.", "user": None})
    bench.github.repository().pulls[3]["updated_at"] = "2026-04-01T00:00:00Z"
    bench.sync()
    assert "A later remark: axolotl." in bench.records["fastkernels#3"].discussion


def test_unmerged_and_uninteresting_pull_requests_cost_nothing_but_the_list(bench: Bench) -> None:
    repo = bench.github.repository("vllm-project/vllm")
    repo.add(1, merged_at=None)
    repo.add(2, "[Doc] Fix a typo in the frontend docs")
    repo.add(3)
    report = bench.sync("vllm-project/vllm")
    assert (report.kept, report.left_out) == (1, 1)
    assert not any("/1/" in path or "/2/" in path for path in bench.github.paths)


def test_what_the_policy_left_out_is_not_fetched_again_and_can_be_explained(bench: Bench, tmp_path: Path) -> None:
    repo = bench.github.repository()
    repo.add(1)
    repo.add(2)
    repo.files[2] = [{"filename": "README.md", "status": "modified", "additions": 1, "deletions": 0}]
    assert bench.sync().left_out == 1
    requests = len(bench.github.requests)
    repo.pulls[2]["updated_at"] = "2026-05-01T00:00:00Z"
    bench.sync()
    assert len(bench.github.requests) == requests + 1
    from ingest.status import explain

    places = Places(corpus_folder(), bench.home)
    assert explain(places, "fastkernels#2")["reasons"] == ["only documentation"]
    assert explain(places, "acme/fastkernels#1")["decision"] == "include"


def test_since_reads_no_further_back_than_it_must(bench: Bench) -> None:
    for number in range(1, 251):
        bench.github.repository().add(number, updated=f"20{25 - number // 50}-01-01T00:00:{number % 50:02}Z")
    report = bench.sync(since="2025-01-01", talk=False)
    assert report.kept == 49
    assert sum("/pulls?" in path for path in bench.github.paths) == 1


def test_a_wider_since_later_fetches_only_what_is_missing(bench: Bench) -> None:
    for number in range(1, 101):
        bench.github.repository().add(number, updated=f"2025-{number % 12 + 1:02}-01T00:00:{number % 50:02}Z")
    bench.sync(since="2025-10-01", talk=False)
    kept, requests = len(bench.records), len(bench.github.requests)
    bench.sync(talk=False)
    assert len(bench.records) == 100
    assert len(bench.github.requests) == requests + 1 + (100 - kept)


def test_limit_stops_and_the_next_run_goes_on_where_it_stopped(bench: Bench) -> None:
    fill(bench.github, 25)
    first = bench.sync(limit=10)
    assert (first.kept, first.complete, len(bench.records)) == (10, False, 10)
    second = bench.sync(limit=10)
    assert (second.kept, len(bench.records)) == (10, 20)
    assert sum(path.endswith("files?per_page=100") for path in bench.github.paths) == 20
    assert bench.sync().complete and len(bench.records) == 25
    assert bench.sync().requests == 1


def test_a_renamed_repository_keeps_its_records_under_the_new_name(bench: Bench) -> None:
    fill(bench.github, 4)
    bench.sync()
    repo = bench.github.repositories.pop(REPO)
    bench.github.repositories["zeta/newkernels"] = repo
    repo.name = "zeta/newkernels"
    for pull in repo.pulls.values():
        pull["base"]["repo"]["full_name"] = repo.name
    repo.add(5, updated="2026-06-01T00:00:00Z")
    bench.github.moved[REPO] = "zeta/newkernels"
    report = bench.sync()
    assert report.repo == "zeta/newkernels" and "is called zeta/newkernels now" in " ".join(report.notes)
    assert sorted(bench.records) == [f"newkernels#{number}" for number in range(1, 6)]
    requests = len(bench.github.requests)
    assert bench.sync().requests == 1 and bench.github.paths[requests].startswith("/repos/zeta/newkernels/")


def test_a_redirect_keeps_the_query(bench: Bench) -> None:
    fill(bench.github, 2, "zeta/newkernels")
    bench.github.moved[REPO] = "zeta/newkernels"
    bench.sync()
    assert "state=closed" in bench.github.paths[1] and bench.github.paths[1].startswith("/repositories/4711/")


def test_another_repository_under_a_known_name_is_refused(bench: Bench) -> None:
    fill(bench.github, 2)
    bench.sync()
    repo = bench.github.repository()
    repo.id = 9
    repo.add(9, updated="2026-07-01T00:00:00Z")
    repo.pulls[9]["base"]["repo"]["id"] = 9
    with pytest.raises(IngestError, match="another repository has this name now"):
        bench.sync()


def test_the_name_is_written_as_the_server_writes_it(bench: Bench) -> None:
    fill(bench.github, 1)
    bench.github.repositories["Acme/FastKernels"] = bench.github.repositories[REPO]
    assert bench.sync("Acme/FastKernels").repo == REPO
    assert list(bench.records) == ["fastkernels#1"]


def test_a_dry_run_prints_a_plan_and_writes_nothing(bench: Bench) -> None:
    fill(bench.github, 250)
    session = Session.open(Places(corpus_folder(), bench.home))
    _, plans, error = sync_all(session, bench.client(), [REPO], GitHubOptions(dry_run=True))
    assert error is None and plans[0]["list_requests"] == 3 and plans[0]["pull_requests"] == 300
    assert plans[0]["requests"] > 250 and plans[0]["seconds"] > 0 and plans[0]["disk_bytes"] > 0
    assert len(bench.github.requests) == 1 and not bench.home.exists()


def test_a_first_import_says_its_plan_before_it_starts(bench: Bench) -> None:
    fill(bench.github, 5)
    bench.sync()
    assert bench.said[0].startswith(f"{REPO}: plan: about ")


def test_what_we_wrote_about_a_pull_request_survives_a_full_run(bench: Bench) -> None:
    fill(bench.github, 2)
    bench.sync()
    session = Session.open(Places(corpus_folder(), bench.home))
    from dataclasses import replace

    mine = replace(bench.records["fastkernels#1"], summary="Ours.", symptoms=("slow decode",), techniques=("tma",))
    session.store.upsert([mine], lambda old, new: new)
    bench.github.repository().pulls[1].update(title="A new kernel title", updated_at="2026-08-01T00:00:00Z")
    bench.sync(full=True)
    record = bench.records["fastkernels#1"]
    assert (record.title, record.summary, record.symptoms, record.techniques) == ("A new kernel title", "Ours.", ("slow decode",), ("tma",))


def test_an_interrupted_run_is_told_by_its_journal_and_nothing_is_fetched_twice(bench: Bench) -> None:
    fill(bench.github, 10)
    session = Session.open(Places(corpus_folder(), bench.home))
    journal = session.folder(REPO).journal()
    clean = Bench(bench.home.with_name("clean"), bench.github)
    clean.sync()

    class Killed(BaseException):
        pass

    def stop(handler: Any) -> bool:
        raise Killed

    bench.github.fail(lambda handler: False, "files", times=5)
    requests = len(bench.github.requests)
    report = Report(REPO, "github")
    from ingest import github_run

    original = github_run.Sync.save
    github_run.Sync.save = lambda self: (_ for _ in ()).throw(Killed())  # type: ignore[method-assign]
    try:
        bench.github.fail(status(401, "Bad credentials"), "files")
        with pytest.raises(Killed):
            sync_github(session, bench.client(), report, GitHubOptions())
    finally:
        github_run.Sync.save = original  # type: ignore[method-assign]
    assert len(list(journal.entries())) == 5
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"number": 3, "torn')
    requests = len(bench.github.requests)
    bench.sync()
    assert sum("files" in path for path in bench.github.paths[requests:]) == 5
    assert bench.content() == clean.content()


def test_the_state_is_one_document_that_says_how_far_it_is(bench: Bench) -> None:
    fill(bench.github, 3)
    bench.sync()
    data = json.loads((bench.home / "ingest" / "acme__fastkernels" / "state.json").read_text(encoding="utf-8"))
    newest = max(pull["updated_at"] for pull in bench.github.repository().pulls.values())
    assert data["github"]["cursor"] == newest and data["github"]["id"] == 4711 and data["github"]["etag"]
    assert set(data["github"]["seen"]) == {"3"}


def test_a_server_without_a_path_in_its_address_works(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("github_server.PREFIX", "")
    fill(bench.github, 103)
    assert bench.sync(talk=False).kept == 103
    assert bench.github.paths[0].startswith("/repos/acme/fastkernels/pulls?")

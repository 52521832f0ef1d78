"""Git ingest from real repositories that the tests make: which pull requests are found, with which files, lines and diffs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from git_builder import Builder, kernel
from ingest_parts import Run

from ingest.errors import IngestError
from ingest.git_repo import GitRepo
from ingest.git_sync import GitOptions, sync_git
from ingest.recipes import recipe
from ingest.session import Report, Session
from kernelwiki.home import Places, corpus_folder
from kernelwiki.model import Record
from kernelwiki.reading.records import read_records

REPO = "acme/fastkernels"


@pytest.fixture
def tree(tmp_path: Path) -> Builder:
    """A history with every way of merging: numbers 1 to 9, and commits that name none."""
    tree = Builder.new(tmp_path / "tree")
    tree.commit("Initial import", csrc__a_DOT_cu=kernel(40, "a"), csrc__b_DOT_cu=kernel(40, "b"))
    tree.commit(
        "Add a decode kernel (#1)\n\nIt gives 1.5x speedup on H100.\n\nSigned-off-by: A <a@b.invalid>", csrc__decode_DOT_cu=kernel(3, "d")
    )
    tree.branch("feature")
    tree.commit("wip", csrc__a_DOT_cu=kernel(40, "a") + "wgmma_two();\n")
    tree.commit("Nested fix (#7)", csrc__nested_DOT_cu="int nested;\n")
    tree.switch("main")
    tree.commit("A direct push", notes_DOT_cu="int note;\n")
    tree.merge("feature", "Merge pull request #2 from someone/feature\n\nUse wgmma in the prefill kernel\n\nWith a body.")
    tree.commit("An edited title without its number", csrc__edited_DOT_cu="int e;\n")
    tree.branch("rebase")
    tree.commit("Rebased one", csrc__r_DOT_cu="int r1;\n")
    tree.commit("Rebased two", csrc__r_DOT_cu="int r2;\n")
    tree.switch("main")
    tree.git("merge", "-q", "--ff-only", "rebase")
    tree.git("mv", "csrc/b.cu", "csrc/renamed.cu")
    tree.commit("Rename a kernel file (#4)", csrc__renamed_DOT_cu=kernel(40, "b").replace("b_20;", "b_20 = 1;"))
    tree.commit("Add a table for the kernel (#5)", csrc__table_DOT_bin=bytes(range(256)) * 4, csrc__use_DOT_cu="int use;\n")
    tree.commit('Revert "Add a decode kernel (#1)" (#6)', csrc__decode_DOT_cu="int gone;\n")
    tree.commit("Follow up on (#5) for Hopper kernels", csrc__use_DOT_cu="int use2;\n")
    tree.commit("Explain the kernels (#8)", README_DOT_md="Text\n")
    tree.commit(f"Land it (something)\n\nPull Request resolved: https://github.com/{REPO}/pull/9", csrc__nine_DOT_cu="int nine;\n")
    tree.commit("Land another\n\nPull Request resolved: https://github.com/other/repo/pull/77", csrc__ten_DOT_cu="int ten;\n")
    return tree


def sync(path: Path, home: Path, repo: str = REPO, **options: Any) -> Report:
    return sync_git(Session.open(Places(corpus_folder(), home)), path, repo, GitOptions(**options))


def stored(home: Path) -> dict[int, Record]:
    return {record.number: record for record in read_records(home / "records")}


def content(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def test_a_history_gives_exactly_its_pull_requests(tree: Builder, tmp_path: Path) -> None:
    report = sync(tree.path, tmp_path / "home")
    records = stored(tmp_path / "home")
    assert sorted(records) == [1, 2, 4, 5, 6, 7, 9]
    assert (report.found, report.kept, report.left_out, report.rejected) == (8, 7, 1, [])
    assert "8 of 16 commits name no pull request" in report.notes[0]
    assert {number: record.title for number, record in records.items()} == {
        1: "Add a decode kernel",
        2: "Use wgmma in the prefill kernel",
        4: "Rename a kernel file",
        5: "Add a table for the kernel",
        6: 'Revert "Add a decode kernel (#1)"',
        7: "Nested fix",
        9: "Land it (something)",
    }


def test_only_the_main_line_counts_with_first_parent(tree: Builder, tmp_path: Path) -> None:
    sync(tree.path, tmp_path / "home", first_parent=True)
    assert sorted(stored(tmp_path / "home")) == [1, 2, 4, 5, 6, 9]


def test_a_record_has_text_files_lines_hunks_and_claims_of_its_commit(tree: Builder, tmp_path: Path) -> None:
    sync(tree.path, tmp_path / "home")
    records = stored(tmp_path / "home")
    first, merge = records[1], records[2]
    assert (first.merged_at, first.url) == ("2026-01-01T02:00:00Z", f"https://github.com/{REPO}/pull/1")
    assert first.body == "It gives 1.5x speedup on H100." and first.sources == ("git",)
    assert [(claim.metric, claim.value, claim.status) for claim in first.claims] == [("speedup", 1.5, "reported")]
    assert [(hunk.path, hunk.line) for hunk in merge.hunks] == [("csrc/a.cu", 41), ("csrc/nested.cu", 1)]
    assert merge.body == "With a body."
    at_merge = tree.git("show", f"{merge.merge_sha}:csrc/a.cu").split("\n")
    assert at_merge[40] == "wgmma_two();"


def test_a_rename_keeps_the_new_path_and_a_binary_file_has_no_counts(tree: Builder, tmp_path: Path) -> None:
    sync(tree.path, tmp_path / "home")
    records = stored(tmp_path / "home")
    assert [(file.path, file.additions, file.deletions) for file in records[4].files] == [("csrc/renamed.cu", 1, 1)]
    assert [(hunk.path, hunk.line) for hunk in records[4].hunks] == [("csrc/renamed.cu", 21)]
    assert [(file.path, file.additions) for file in records[5].files] == [("csrc/table.bin", None), ("csrc/use.cu", 1)]


@pytest.mark.parametrize("kind", ["clone", "bare mirror", "clone without checkout"])
def test_every_kind_of_clone_gives_the_same_records(tree: Builder, tmp_path: Path, kind: str) -> None:
    options = {"clone": [], "bare mirror": ["--mirror"], "clone without checkout": ["--no-checkout"]}[kind]
    tree.git("clone", "-q", *options, str(tree.path), str(tmp_path / "copy"))
    sync(tree.path, tmp_path / "a")
    sync(tmp_path / "copy", tmp_path / "b")
    assert stored(tmp_path / "a") == stored(tmp_path / "b")


def test_a_partial_clone_without_blobs_gives_what_its_trees_say_and_fetches_nothing(tree: Builder, tmp_path: Path) -> None:
    tree.git("config", "uploadpack.allowFilter", "true")
    tree.git("clone", "-q", "--bare", "--filter=blob:none", tree.path.as_uri(), str(tmp_path / "partial"))
    before = sorted(path.name for path in (tmp_path / "partial" / "objects").rglob("*"))
    report = sync(tmp_path / "partial", tmp_path / "home")
    records = stored(tmp_path / "home")
    assert sorted(records) == [1, 2, 4, 5, 6, 7, 9]
    assert [file.path for file in records[1].files] == ["csrc/decode.cu"] and records[1].files[0].additions is None
    assert "are missing (a partial clone?)" in " ".join(report.notes)
    assert sorted(path.name for path in (tmp_path / "partial" / "objects").rglob("*")) == before


def test_one_missing_blob_costs_one_file(tree: Builder, tmp_path: Path) -> None:
    sha = tree.git("rev-parse", "main:csrc/table.bin")
    shutil.copytree(tree.path / ".git", tmp_path / "bare.git")
    (tmp_path / "bare.git" / "objects" / sha[:2] / sha[2:]).unlink()
    report = sync(tmp_path / "bare.git", tmp_path / "home")
    records = stored(tmp_path / "home")
    assert sorted(records) == [1, 2, 4, 5, 6, 7, 9]
    assert [(file.path, file.additions) for file in records[5].files] == [("csrc/table.bin", None), ("csrc/use.cu", 1)]
    assert [hunk.path for hunk in records[5].hunks] == ["csrc/use.cu"]
    assert "objects of 1 commits are missing" in " ".join(report.notes), report.notes


def test_the_edge_of_a_shallow_clone_is_not_taken_for_a_change_of_everything(tree: Builder, tmp_path: Path) -> None:
    tree.git("clone", "-q", "--depth=5", tree.path.as_uri(), str(tmp_path / "shallow"))
    report = sync(tmp_path / "shallow", tmp_path / "home")
    records = stored(tmp_path / "home")
    assert sorted(records) == [9]
    assert all(len(record.files) < 3 for record in records.values())
    assert any("edge of a shallow clone" in note for note in report.notes)


def test_deepening_a_shallow_clone_brings_the_rest(tree: Builder, tmp_path: Path) -> None:
    shallow = Builder(tmp_path / "shallow")
    tree.git("clone", "-q", "--depth=5", tree.path.as_uri(), str(shallow.path))
    sync(shallow.path, tmp_path / "home")
    shallow.git("fetch", "-q", "--unshallow")
    sync(shallow.path, tmp_path / "home")
    assert sorted(stored(tmp_path / "home")) == [1, 2, 4, 5, 6, 7, 9]


def test_a_root_commit_can_be_a_pull_request(tmp_path: Path) -> None:
    tree = Builder.new(tmp_path / "tree")
    tree.commit("Start the kernels (#1)", csrc__a_DOT_cu="int a;\n")
    sync(tree.path, tmp_path / "home")
    assert [(hunk.path, hunk.line) for hunk in stored(tmp_path / "home")[1].hunks] == [("csrc/a.cu", 1)]


def test_a_second_run_changes_no_byte_and_a_third_reads_only_what_is_new(tree: Builder, tmp_path: Path) -> None:
    sync(tree.path, tmp_path / "home")
    before = content(tmp_path / "home")
    assert sync(tree.path, tmp_path / "home").found == 0
    assert content(tmp_path / "home") == before
    tree.commit("Tune the kernel (#20)", csrc__a_DOT_cu="int tuned;\n")
    report = sync(tree.path, tmp_path / "home")
    assert (report.found, report.added, report.updated) == (1, 1, 0)
    clean = tmp_path / "clean"
    sync(tree.path, clean)
    assert content(tmp_path / "home") == content(clean)


def test_a_rewritten_history_is_read_again(tree: Builder, tmp_path: Path) -> None:
    sync(tree.path, tmp_path / "home")
    tree.git("reset", "-q", "--hard", "HEAD~3")
    tree.commit("Another kernel (#30)", csrc__z_DOT_cu="int z;\n")
    sync(tree.path, tmp_path / "home")
    assert 30 in stored(tmp_path / "home") and 9 in stored(tmp_path / "home")


def test_a_title_that_github_cut_is_whole_again(tmp_path: Path) -> None:
    tree = Builder.new(tmp_path / "tree")
    tree.commit("Start", csrc__a_DOT_cu="int a;\n")
    tree.commit("Tune the long kernel for Hopper and for Black… (#5)\n\n…well and others\n\nThe body.", csrc__a_DOT_cu="int b;\n")
    sync(tree.path, tmp_path / "home")
    record = stored(tmp_path / "home")[5]
    assert (record.title, record.body) == ("Tune the long kernel for Hopper and for Blackwell and others", "The body.")


def test_since_and_limit_and_dry_run(tree: Builder, tmp_path: Path) -> None:
    assert sync(tree.path, tmp_path / "a", dry_run=True).kept == 7 and not (tmp_path / "a").exists()
    sync(tree.path, tmp_path / "b", limit=2)
    assert sorted(stored(tmp_path / "b")) == [9]
    sync(tree.path, tmp_path / "c", since="2027-01-01")
    assert not (tmp_path / "c" / "records").exists()


def test_a_merge_commit_with_a_title_of_its_own_is_found_by_its_pull_reference(tmp_path: Path) -> None:
    tree = Builder.new(tmp_path / "tree")
    tree.commit("Start", csrc__a_DOT_cu="int a;\n")
    tree.branch("topic")
    head = tree.commit("work", csrc__b_DOT_cu="int b;\n")
    tree.switch("main")
    tree.merge("topic", "Bring the fused kernel in")
    tree.git("update-ref", "refs/pull/12/head", head)
    sync(tree.path, tmp_path / "home")
    assert {number: record.title for number, record in stored(tmp_path / "home").items()} == {12: "Bring the fused kernel in"}


HOSTILE_NAMES = [
    "csrc/ä b.cu",
    "csrc/tab\there.cu",
    'csrc/"quoted".cu',
    "csrc/new\nline.cu",
    "csrc/-rf.cu",
    "csrc/\x1b[2J.cu",
    "csrc/\udcff.cu",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_any_file_name_is_data(tmp_path: Path, name: str) -> None:
    tree = Builder.new(tmp_path / "tree")
    tree.commit("Start", csrc__a_DOT_cu="int a;\n")
    (tree.path / "csrc" / name.removeprefix("csrc/")).write_text("wgmma_hostile();\n", encoding="utf-8")
    tree.commit("Add a kernel (#3)")
    sync(tree.path, tmp_path / "home")
    record = stored(tmp_path / "home")[3]
    assert len(record.files) == 1 and record.files[0].path.isprintable()


def test_a_repository_that_brings_its_own_programs_runs_none_of_them(tree: Builder, tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n", encoding="utf-8")
    trap.chmod(0o755)
    for setting in ("core.fsmonitor", "diff.external", "core.pager", "diff.evil.textconv", "diff.evil.command", "core.sshCommand"):
        tree.git("config", setting, str(trap))
    (tree.path / ".gitattributes").write_text("*.cu diff=evil\n", encoding="utf-8")
    (tree.path / ".git" / "info").mkdir(exist_ok=True)
    (tree.path / ".git" / "info" / "attributes").write_text("*.cu diff=evil\n", encoding="utf-8")
    (tmp_path / "sprung").unlink(missing_ok=True)
    sync(tree.path, tmp_path / "home")
    assert len(stored(tmp_path / "home")) == 7
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_is_no_repository_says_so(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(IngestError, match="Give the folder of a git clone"):
        sync(tmp_path / "plain", tmp_path / "home")
    Builder.new(tmp_path / "empty")
    with pytest.raises(IngestError, match="no branch or commit 'HEAD'"):
        sync(tmp_path / "empty", tmp_path / "home")


def test_the_command_reports_and_explains(tree: Builder, tmp_path: Path, kwiki: Callable[..., Run]) -> None:
    run = kwiki("ingest", "git", tree.path, "--repo", f"https://github.com/{REPO}.git", "--json")
    assert run.code == 0, run.err
    (row,) = run.json["repositories"]
    assert (row["repo"], row["kept"], row["left_out"], row["rejected_count"]) == (REPO, 7, 1, 0)
    assert "8 of 16 commits name no pull request" in run.err
    (state,) = kwiki("ingest", "status", "--json").json["repositories"]
    assert (state["repo"], state["records"], state["left_out"], state["failed"]) == (REPO, 7, 1, {})
    assert state["last_run"].startswith("20") and state["cut_off"] == row_cut_off(tmp_path / "home")
    assert "only documentation" in kwiki("ingest", "explain", "fastkernels#8").out
    assert "include (score" in kwiki("ingest", "explain", f"{REPO}#1").out
    assert kwiki("ingest", "explain", "fastkernels#999").code == 3
    assert kwiki("ingest", "explain", "what").code == 2


def row_cut_off(home: Path) -> str:
    return max(record.merged_at for record in read_records(home / "records"))


def test_repository_names_are_checked_before_anything_is_read(tree: Builder, kwiki: Callable[..., Run]) -> None:
    for name in ("../../etc", "acme", "acme/..", "acme/a b", "-x/y"):
        run = kwiki("ingest", "git", tree.path, f"--repo={name}")
        assert run.code == 2 and "Traceback" not in run.err, name


def test_every_recipe_can_be_read_and_known_repositories_are_known() -> None:
    for name in ("NVIDIA/cutlass", "pytorch/pytorch", "NVIDIA/TensorRT-LLM", "triton-lang/triton", "tile-ai/tilelang", "nobody/nothing"):
        known = recipe(name)
        assert known.number("Title (#12)") == (12, "squash")
        assert known.number("Merge pull request #3 from a/b\n\nTitle") == (3, "merge")
        assert known.number("Fix #781") is None and known.number("Title (#0)") is None
    assert recipe("pytorch/pytorch").first_parent and "closes pull requests" in recipe("pytorch/pytorch").note
    assert recipe("vllm-project/vllm").policy.base_points == 0 and recipe("nobody/nothing").policy.base_points == 3


def test_git_reads_what_it_must_without_a_working_tree(tree: Builder, tmp_path: Path) -> None:
    shutil.copytree(tree.path / ".git", tmp_path / "bare.git")
    repo = GitRepo(tmp_path / "bare.git")
    repo.check()
    assert repo.has(repo.head()) and not repo.has("0" * 40)

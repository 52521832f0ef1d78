"""Line numbers of added lines: against diffs that git itself makes, and against text that no git would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ingest.diffs import AddedLine, added_lines

TWO_HUNKS = """\
diff --git a/csrc/a.cu b/csrc/a.cu
index 1..2 100644
--- a/csrc/a.cu
+++ b/csrc/a.cu
@@ -10,4 +10,5 @@ void f() {
 ten
-old
+eleven
+twelve
 thirteen
@@ -90,2 +92,3 @@
 ninety_two
+ninety_three
 ninety_four
diff --git a/csrc/b.cuh b/csrc/b.cuh
--- a/csrc/b.cuh
+++ b/csrc/b.cuh
@@ -1 +1 @@
-x
+y
"""

BEFORE = {
    "plain.cu": "one\ntwo\nthree\nfour\n" * 20,
    "gone.cu": "old\n",
    "moved_from.hpp": "".join(f"line {number}\n" for number in range(60)),
    "no_newline.cuh": "a\nb",
    "data.bin": b"\0\1\2",
    "with space.cu": "a\n",
    "dir b/x.cu": "a\n",
    "kernél.cu": "a\n",
    'quote"d.cu': "a\n",
    "signs.cu": "a\nb\n",
}
AFTER = {
    "plain.cu": "zero\n" + "one\ntwo\nthree\nfour\n" * 10 + "middle\n\nblank above\n" + "one\ntwo\nthree\nfour\n" * 10,
    "moved_to.hpp": "".join(f"line {number}\n" for number in range(60)).replace("line 30\n", "line thirty\nextra\n"),
    "no_newline.cuh": "a\nb\nc",
    "data.bin": b"\0\1\3",
    "with space.cu": "a\nspace\n",
    "dir b/x.cu": "a\nfolder\n",
    "kernél.cu": "a\naccent\n",
    'quote"d.cu': "a\nquote\n",
    "signs.cu": "a\n++ b/x\n-- a/x\n@@ -1 +9 @@\ndiff --git a/x b/x\nb\n",
    "brand/new.cu": "fresh\nfile\n",
}


def _write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two commits: BEFORE and AFTER."""
    if not shutil.which("git"):
        pytest.skip("git is not here")
    folder = tmp_path_factory.mktemp("repository")
    _git(folder, "init", "-q")
    _write(folder, BEFORE)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "before")
    for name in BEFORE:
        (folder / name).unlink()
    _write(folder, AFTER)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "after")
    return folder


def _git(folder: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "t@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True, env=environment)
    return done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    "options", [(), ("-U0",), ("-M",), ("-U10", "-M"), ("--no-renames",), ("-c", "core.quotePath=false")], ids=" ".join
)
def test_every_added_line_of_a_git_diff_stands_at_its_number_in_the_new_file(repository: Path, options: tuple[str, ...]) -> None:
    config, flags = (options, ()) if "-c" in options else ((), options)
    added = list(added_lines(_git(repository, *config, "diff", *flags, "HEAD~1", "HEAD")))
    for line in added:
        assert (repository / line.path).read_text(encoding="utf-8").split("\n")[line.line - 1] == line.text
    assert {line.path for line in added} == set(AFTER) - {"data.bin"}
    assert [line.text for line in added if line.path == "signs.cu"] == ["++ b/x", "-- a/x", "@@ -1 +9 @@", "diff --git a/x b/x"]


def test_a_rename_gives_the_new_path_and_only_its_changed_lines(repository: Path) -> None:
    added = [line for line in added_lines(_git(repository, "diff", "-M", "HEAD~1", "HEAD")) if line.path.startswith("moved")]
    assert added == [AddedLine("moved_to.hpp", 31, "line thirty"), AddedLine("moved_to.hpp", 32, "extra")]


def test_line_numbers_continue_over_hunks_and_files() -> None:
    assert list(added_lines(TWO_HUNKS)) == [
        AddedLine("csrc/a.cu", 11, "eleven"),
        AddedLine("csrc/a.cu", 12, "twelve"),
        AddedLine("csrc/a.cu", 93, "ninety_three"),
        AddedLine("csrc/b.cuh", 1, "y"),
    ]


def test_a_diff_cut_off_anywhere_gives_a_prefix_of_what_the_whole_gives() -> None:
    whole = [(line.path, line.line) for line in added_lines(TWO_HUNKS)]
    for end in range(len(TWO_HUNKS)):
        cut = list(added_lines(TWO_HUNKS[:end]))
        assert [line.line for line in cut] == [number for _, number in whole[: len(cut)]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "+alone\n+and again\n",
        "@@ -1 +1 @@\n+no file header\n",
        "diff --git a/x.cu b/x.cu\n+no hunk\n",
        "diff --git a/x.cu b/x.cu\nBinary files a/x.cu and b/x.cu differ\n",
        "diff --git a/x.cu b/x.cu\nGIT binary patch\nliteral 3\n+cmZQzU|?@@\n",
        "diff --git a/x.cu b/x.cu\n--- a/x.cu\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n",
        "diff --git a/x.cu b/x.cu\n--- a/x.cu\n+++ b/x.cu\n@@ broken @@\n+x\n",
        "\x00\x01\udcff" * 50,
    ],
)
def test_text_without_an_added_line_in_a_hunk_gives_nothing(text: str) -> None:
    assert list(added_lines(text)) == []


def test_a_header_that_is_not_understood_does_not_lend_its_lines_to_the_file_before() -> None:
    merge = "diff --cc csrc/merged.cu\nindex 1,2..3\n@@@ -1,1 -1,1 +1,2 @@@\n++both\n"
    assert {line.path for line in added_lines(TWO_HUNKS + merge)} == {"csrc/a.cu", "csrc/b.cuh"}


def test_an_added_line_knows_the_range_of_its_hunk_in_the_new_file() -> None:
    patch = "diff --git a/k.cu b/k.cu\n--- a/k.cu\n+++ b/k.cu\n@@ -1 +1,2 @@\n a\n+b\n@@ -9,2 +10,3 @@ void f()\n c\n+d\n e\n"
    assert [(added.line, added.hunk) for added in added_lines(patch)] == [(2, "+1,2"), (11, "+10,3")]

"""Faults: killed and concurrent builds, altered files, read-only and full disks, changed corpora. Real processes, real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelwiki import Wiki
from kernelwiki.home import corpus_folder
from kernelwiki.indexing.index import complete_indexes, read_info

KWIKI = str(Path(sys.executable).parent / "kwiki")
REPOSITORIES = ("deepseek-ai__DeepGEMM.jsonl.gz", "deepseek-ai__FlashMLA.jsonl.gz", "Dao-AILab__flash-attention.jsonl.gz")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A corpus of three shipped repositories, in a folder that a test may break."""
    shipped, target = corpus_folder(), tmp_path / "corpus"
    (target / "records").mkdir(parents=True)
    manifest = json.loads((shipped / "records" / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {name: manifest["files"][name] for name in REPOSITORIES}
    (target / "records" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for name in REPOSITORIES:
        shutil.copy(shipped / "records" / name, target / "records" / name)
    for name in ("vocabulary", "model", "questions"):
        (target / name).symlink_to(shipped / name)
    (target / "pages").mkdir()
    return target


def environment(corpus: Path, home: Path) -> dict[str, str]:
    return {**os.environ, "KWIKI_CORPUS": str(corpus), "KWIKI_HOME": str(home)}


def kwiki(corpus: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([KWIKI, *arguments], env=environment(corpus, home), capture_output=True, text=True, timeout=180, check=False)


def results(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [hit["id"] for hit in json.loads(done.stdout)["results"]]


def touch(corpus: Path) -> None:
    """Make every index of `corpus` out of date."""
    path = corpus / "records" / "manifest.json"
    info = path.stat()
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("fraction", [0.1, 0.4, 0.7, 0.95])
def test_a_build_that_is_killed_leaves_nothing_that_the_next_search_trips_over(small: Path, tmp_path: Path, fraction: float) -> None:
    home = tmp_path / "home"
    expected = results(kwiki(small, tmp_path / "clean", "search", "split KV", "--json"))
    seconds = complete_built_seconds(tmp_path / "clean")
    process = subprocess.Popen(
        [KWIKI, "index", "build", "--no-chroma"], env=environment(small, home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(0.6 + seconds * fraction)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert results(kwiki(small, home, "search", "split KV", "--json")) == expected
    assert not list((home / "index").glob(".building-*"))


def complete_built_seconds(home: Path) -> float:
    return next(info.built_seconds for path in (home / "index").glob("*") if (info := read_info(path)))


def test_two_builds_at_once_make_one_index(small: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    processes = [
        subprocess.Popen(
            [KWIKI, "index", "build", "--no-chroma", "--json"],
            env=environment(small, home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert len({json.loads(out)["version"] for out, _ in answers}) == 1
    assert len([path for path in (home / "index").iterdir() if path.is_dir()]) == 1


def test_searches_during_a_rebuild_see_the_old_or_the_new_index_and_never_an_error(small: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    expected = results(kwiki(small, home, "search", "wgmma", "--json"))
    touch(small)
    process = subprocess.Popen(
        [KWIKI, "index", "build"], env=environment(small, home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    answers = []
    while process.poll() is None:
        answers.append(results(kwiki(small, home, "search", "wgmma", "--json")))
    assert process.returncode == 0
    assert answers
    assert all(answer == expected for answer in answers)


def test_an_open_reader_moves_to_the_newer_index(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KWIKI_CORPUS", str(small))
    monkeypatch.setattr("kernelwiki.wiki.CHECK_SECONDS", 0.0)
    wiki = Wiki.open(tmp_path / "home")
    before = wiki.info.version
    touch(small)
    assert wiki.search("wgmma"), "the old index answers while the new one is not there"
    assert wiki.info.version == before
    assert kwiki(small, tmp_path / "home", "index", "build", "--no-chroma").returncode == 0
    assert wiki.search("wgmma")
    assert wiki.info.version != before


def test_an_index_is_rebuilt_by_itself_when_the_corpus_changed(small: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert not any(name.startswith("made-up/") for name in results(kwiki(small, home, "search", "zebra swizzle", "--json")))
    folder = small / "pages" / "pattern"
    folder.mkdir()
    source = '{key: doc, kind: doc, title: "A document", url: "https://example.org/x"}'
    keys = f"kind: pattern\narchs: []\ntags: [tma]\nsymptoms: [zebra stripes]\nsources:\n  - {source}\nconfidence: sourced\nsnippets: none"
    front = f"---\ntitle: Zebra swizzle\n{keys}\n---\n"
    (folder / "zebra-swizzle.md").write_text(front + "\n## What it is\nA zebra swizzle permutes stripes.[^doc]\n", encoding="utf-8")
    assert "pattern/zebra-swizzle" in results(kwiki(small, home, "search", "zebra swizzle", "--json"))


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "not gzip"])
def test_a_damaged_record_file_is_named_and_an_older_index_is_not_lost(small: Path, tmp_path: Path, damage: str) -> None:
    home = tmp_path / "home"
    assert results(kwiki(small, home, "search", "wgmma", "--json"))
    path = small / "records" / REPOSITORIES[0]
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"truncated": data[: len(data) // 2], "altered": data[:-9] + bytes(9), "not gzip": b"hello"}[damage])
    done = kwiki(small, home, "search", "wgmma", "--json")
    assert done.returncode == 4
    assert REPOSITORIES[0] in done.stderr
    assert "Traceback" not in done.stderr
    checked = kwiki(small, home, "check")
    assert checked.returncode == 1
    assert REPOSITORIES[0] in checked.stdout
    path.write_bytes(data)
    assert results(kwiki(small, home, "search", "wgmma", "--json"))


def test_without_a_model_search_answers_by_words_and_says_so(small: Path, tmp_path: Path) -> None:
    (small / "model").unlink()
    (small / "model").mkdir()
    done = kwiki(small, tmp_path / "home", "search", "wgmma", "--json")
    assert results(done)
    assert "lexical only" in done.stderr


def test_a_broken_model_does_not_take_search_down(small: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    expected = results(kwiki(small, home, "search", "wgmma", "--json"))
    assert expected
    shipped = corpus_folder() / "model"
    (small / "model").unlink()
    shutil.copytree(shipped, small / "model", copy_function=shutil.copy2)
    (small / "model" / "model.onnx").write_bytes(b"not a model")
    done = kwiki(small, home, "search", "wgmma", "--json")
    assert results(done)
    assert "lexical" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root and mount")
class TestSmallDisk:
    """A real file system of 4 MB, and the same mounted read-only."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        point = tmp_path / "disk"
        point.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("tmpfs cannot be mounted here")
        yield point
        subprocess.run(["umount", "-l", str(point)], check=True)

    def test_a_full_disk_is_named_and_leaves_nothing_half_written(self, small: Path, disk: Path) -> None:
        done = kwiki(small, disk / "home", "index", "build")
        assert done.returncode == 5
        assert "KWIKI_HOME" in done.stderr
        assert "Traceback" not in done.stderr
        assert not complete_files(disk / "home" / "index")

    def test_a_read_only_home_is_answered_from_a_temporary_one(self, small: Path, disk: Path, tmp_path: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        done = subprocess.run(
            [KWIKI, "search", "wgmma", "--json"],
            env={**environment(small, disk / "home"), "TMPDIR": str(scratch)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert results(done)
        assert "KWIKI_HOME" in done.stderr


def complete_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_dir()]


def test_threads_that_search_while_the_index_changes_get_answers(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KWIKI_CORPUS", str(small))
    monkeypatch.setattr("kernelwiki.wiki.CHECK_SECONDS", 0.0)
    wiki = Wiki.open(tmp_path / "home")
    stop, failures = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            try:
                assert wiki.search("wgmma")
            except Exception as error:  # noqa: BLE001 - any error at all is the failure that this test looks for
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    touch(small)
    done = kwiki(small, tmp_path / "home", "index", "build", "--no-chroma")
    stop.set()
    for thread in threads:
        thread.join()
    assert done.returncode == 0
    assert not failures
    assert len(complete_indexes(wiki.places)) == 2

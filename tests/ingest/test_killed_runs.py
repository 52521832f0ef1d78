"""Runs that are killed with SIGKILL at random moments: what is stored is always a whole state, and a resume ends where a clean run does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from github_server import GitHub, Handler
from ingest_parts import pull_request, write_lines

from kernelwiki.reading.records import MANIFEST, read_records

REPO = "acme/fastkernels"
START = "from kernelwiki.cli import main; main()"
NUMBERS = (*range(1, 15), *range(1995, 2003))


@pytest.fixture(scope="module")
def server() -> Iterator[GitHub]:
    with GitHub().running() as github:
        for number in NUMBERS:
            github.repository(REPO).add(number)
        github.repository(REPO).files[3] = [{"filename": "README.md", "status": "modified", "additions": 1, "deletions": 0}]
        yield github


@pytest.fixture
def github(server: GitHub) -> GitHub:
    server.faults.clear()
    return server


@pytest.fixture(scope="module")
def clean(server: GitHub, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The content after a run that nobody disturbed, and how many requests it took."""
    home = tmp_path_factory.mktemp("clean")
    before = len(server.requests)
    assert start(home, "github", REPO, "--base-url", server.base_url).wait() == 0
    return content(home), len(server.requests) - before


def start(home: Path, *arguments: str | Path, code: str = START) -> subprocess.Popen[bytes]:
    """An ingest in a process of its own; what it says on stderr is in `home.err`."""
    environment = {**os.environ, "KWIKI_HOME": str(home), "NO_COLOR": "1"}
    command = [sys.executable, "-c", code, "ingest", *map(str, arguments)]
    with home.with_name(f"{home.name}.err").open("wb") as errors:
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)


def content(home: Path) -> dict[str, bytes]:
    """Every stored byte but the clock of the last run."""
    files = (path for path in sorted(home.rglob("*")) if path.is_file() and path.name not in ("last_run.json", "lock"))
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def readable(home: Path) -> int:
    """How many records a reader finds now; raises when the state is not whole."""
    return len(list(read_records(home / "records"))) if (home / "records" / MANIFEST).is_file() else 0


def test_a_run_killed_at_twenty_random_moments_ends_as_a_clean_one(
    github: GitHub, clean: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    wanted, requests = clean
    chance = random.Random(20261121)
    home, counts = tmp_path / "home", [0]
    for _ in range(20):
        process = _killed_at(github, home, chance.randrange(1, max(3, requests // 6)))
        assert process.returncode in (0, -signal.SIGKILL)
        counts.append(readable(home))
    assert counts == sorted(counts)
    assert start(home, "github", REPO, "--base-url", github.base_url).wait() == 0
    assert content(home) == wanted


def _killed_at(github: GitHub, home: Path, moment: int) -> subprocess.Popen[bytes]:
    """Run an ingest and kill it when its request number `moment` arrives; what it fetched before is all that it may keep."""
    seen, lock = 0, threading.Lock()
    running: list[subprocess.Popen[bytes]] = []
    ready = threading.Event()

    def count(handler: Handler) -> bool:
        nonlocal seen
        with lock:
            seen += 1
            due = seen == moment
        if due:
            ready.wait()
            running[0].send_signal(signal.SIGKILL)
            running[0].wait()
            handler.close_connection = True
            return True
        return False

    github.faults.clear()
    github.fail(count, times=10_000)
    running.append(start(home, "github", REPO, "--base-url", github.base_url))
    ready.set()
    running[0].wait()
    github.faults.clear()
    return running[0]


STEPS = [
    ("ingest.store", "Store._write", "after"),
    ("ingest.store", "Store._swap", "before"),
    ("ingest.store", "Store._swap", "after"),
    ("ingest.state", "RepoFolder.write_left_out", "after"),
    ("ingest.state", "RepoFolder.write", "after"),
]


@pytest.mark.parametrize("step", STEPS, ids=[f"{when} {name}" for _, name, when in STEPS])
def test_a_run_killed_between_any_two_writes_ends_as_a_clean_one(
    github: GitHub, clean: tuple[dict[str, bytes], int], tmp_path: Path, step: tuple[str, str, str]
) -> None:
    module, name, when = step
    home = tmp_path / "home"
    code = (
        f"import os, signal, {module} as m\noriginal = m.{name}\n"
        f"def die(*a, **k):\n    {'pass' if when == 'before' else 'original(*a, **k)'}\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"m.{name} = die\n{START}"
    )
    assert start(home, "github", REPO, "--base-url", github.base_url, code=code).wait() == -signal.SIGKILL
    readable(home)
    assert start(home, "github", REPO, "--base-url", github.base_url).wait() == 0
    assert content(home) == clean[0]


def test_a_killed_import_of_files_leaves_the_old_records_and_the_next_one_is_whole(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "many.prs.jsonl", [pull_request(number) for number in range(900, 1100)])
    few = write_lines(tmp_path / "few.prs.jsonl", [pull_request(5000)])
    assert start(tmp_path / "clean", "records", few, file).wait() == 0
    home = tmp_path / "home"
    assert start(home, "records", few).wait() == 0
    code = (
        "import os, signal, ingest.store as m\noriginal = m.Store._write\ncount = [0]\n"
        "def die(*a, **k):\n    original(*a, **k)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"m.Store._write = die\n{START}"
    )
    assert start(home, "records", file, code=code).wait() == -signal.SIGKILL
    assert readable(home) == 1
    assert start(home, "records", file).wait() == 0
    assert content(home)["records/manifest.json"] == content(tmp_path / "clean")["records/manifest.json"]
    assert {name for name in content(home) if name.startswith("records")} == {
        name for name in content(tmp_path / "clean") if name.startswith("records")
    }


def test_a_second_ingest_of_the_same_folder_is_refused_while_one_runs(github: GitHub, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(handler: Handler) -> bool:
        entered.set()
        leave.wait(30)
        return False

    github.fail(hold)
    first = start(tmp_path / "home", "github", REPO, "--base-url", github.base_url)
    try:
        assert entered.wait(30)
        assert start(tmp_path / "home", "github", REPO, "--base-url", github.base_url).wait() == 5
        assert "another `kwiki ingest` is running" in (tmp_path / "home.err").read_text(encoding="utf-8")
    finally:
        leave.set()
    assert first.wait() == 0


def test_an_interrupt_stores_what_was_fetched_and_exits_130(github: GitHub, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(handler: Handler) -> bool:
        entered.set()
        leave.wait(30)
        return False

    github.fail(lambda handler: False, "files", times=10)
    github.fail(hold, "files")
    process = start(tmp_path / "home", "github", REPO, "--base-url", github.base_url)
    try:
        assert entered.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    finally:
        leave.set()
    assert readable(tmp_path / "home") in (9, 10)  # number 3 is left out by the policy


def test_readers_never_see_a_broken_store_while_a_writer_replaces_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    files = [
        write_lines(tmp_path / f"{mark}.prs.jsonl", [pull_request(number, title=f"Kernel {mark}") for number in range(1, 60)])
        for mark in "ab"
    ]
    assert start(home, "records", files[0]).wait() == 0
    code = (
        "import sys\nfrom pathlib import Path\nfrom ingest.file_sync import sync_files\nfrom ingest.session import Session\n"
        "from kernelwiki.home import find_places\n"
        "for turn in range(12):\n    sync_files(Session.open(find_places()), [Path(sys.argv[1 + turn % 2])])\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, *map(str, files)], env={**os.environ, "KWIKI_HOME": str(home)})
    reads = 0
    while writer.poll() is None:
        titles = {record.title for record in read_records(home / "records")}
        assert titles in ({"Kernel a"}, {"Kernel b"})
        reads += 1
    assert writer.returncode == 0 and reads > 3

"""The vocabulary, an import through real files, the shared pull requests where they are, and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from github_bench import Bench
from github_server import GitHub
from ingest_parts import SHARED, Run, write_lines

from ingest.record_files import Tally, import_files
from kernelwiki.home import corpus_folder
from kernelwiki.model import Record
from kernelwiki.reading.vocabulary import Vocabulary, read_terms

START = "from kernelwiki.cli import main; main()"


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The shipped vocabulary."""
    return Vocabulary.of(read_terms(corpus_folder() / "vocabulary"))


@pytest.fixture
def import_rows(tmp_path: Path, vocabulary: Vocabulary) -> Callable[..., tuple[list[Record], Tally]]:
    """Import rows (and diffs by number) through real files; gives the records and the tally."""

    def run(rows: Iterable[Any], patches: Mapping[int, str] | None = None) -> tuple[list[Record], Tally]:
        path = write_lines(tmp_path / "some.prs.jsonl.gz", rows)
        if patches:
            diffs = ({"repo": "acme/fastkernels", "number": number, "patch": patch} for number, patch in patches.items())
            write_lines(tmp_path / "some.diffs.jsonl.gz", diffs)
        tally = Tally()
        return list(import_files([path], vocabulary, tally)), tally

    return run


@pytest.fixture
def kwiki(tmp_path: Path) -> Callable[..., Run]:
    """The real command line in a process of its own, its data folder below tmp_path."""

    def run(*arguments: str | Path, home: Path | None = None) -> Run:
        environment = {**os.environ, "KWIKI_HOME": str(home or tmp_path / "home"), "NO_COLOR": "1"}
        command = [sys.executable, "-c", START, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=60)
        return Run(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))

    return run


@pytest.fixture(scope="session")
def shared_prs() -> Path:
    """The folder of shared pull requests; skips without it."""
    if not SHARED.is_dir():
        pytest.skip("../shared/prs is not here")
    return SHARED


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub().running() as server:
        yield server


@pytest.fixture
def bench(tmp_path: Path, github: GitHub) -> Bench:
    return Bench(tmp_path / "home", github)

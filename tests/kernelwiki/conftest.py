"""The shipped corpus opened once, a small corpus of our own, and the command as a subprocess."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kernelwiki import Wiki
from kernelwiki.grounding.check import Problem, check_corpus
from kernelwiki.home import Places
from kernelwiki.model import ChangedFile, Evidence, Record
from kernelwiki.reading.records import compress, read_records, write_records
from kernelwiki.reading.summaries import read_summaries, with_summary

ROOT = Path(__file__).parents[2]
FIXTURE_CORPUS = ROOT / "tests" / "fixtures" / "corpus"
START = "from kernelwiki.cli import main; main()"


@dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout; fails when there is more or less there."""
        return json.loads(self.out)


def run_kwiki(arguments: tuple[str | bytes, ...], settings: Mapping[str, str]) -> Run:
    """Run `kwiki ARGUMENTS` in a process of its own with only `settings` of ours."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", **settings}
    done = subprocess.run([sys.executable, "-c", START, *arguments], capture_output=True, env=environment, check=False, timeout=120)
    return Run(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


@pytest.fixture(scope="session")
def shipped_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose index of the shipped corpus is built once for the session."""
    return tmp_path_factory.mktemp("shipped-home")


@pytest.fixture(scope="session")
def shipped(shipped_home: Path) -> Wiki:
    """The shipped corpus, open."""
    return Wiki.open(home=shipped_home, store="exact")


@pytest.fixture(scope="session")
def shipped_records(shipped: Wiki) -> dict[str, Record]:
    """Every shipped record by id, with our summary."""
    summaries = read_summaries(shipped.places.summaries)
    return {record.id: with_summary(record, summaries) for record in read_records(shipped.places.records)}


@pytest.fixture(scope="session")
def kwiki(shipped: Wiki, shipped_home: Path) -> Callable[..., Run]:
    """`kwiki("search", "tcgen05")` on the shipped corpus, with its index already built."""

    def run(*arguments: str | bytes, **settings: str) -> Run:
        return run_kwiki(arguments, {"KWIKI_HOME": str(shipped_home), **settings})

    return run


@dataclass
class SmallCorpus:
    """A corpus folder of a few records, five terms and two pages that a test may break."""

    folder: Path
    home: Path
    records: list[Record] = field(default_factory=list)

    @property
    def places(self) -> Places:
        return Places(self.folder, self.home)

    @property
    def vocabulary(self) -> Path:
        return self.folder / "vocabulary" / "terms.yaml"

    @property
    def page(self) -> Path:
        return self.folder / "pages" / "hardware" / "tma.md"

    @property
    def environment(self) -> dict[str, str]:
        return {"KWIKI_CORPUS": str(self.folder), "KWIKI_HOME": str(self.home)}

    def write(self, *records: Record) -> None:
        """Replace the records and their manifest."""
        shutil.rmtree(self.folder / "records", ignore_errors=True)
        write_records(self.folder / "records", records or self.records)

    def edit(self, path: Path, old: str, new: str) -> None:
        """Replace `old`, which must be there, by `new`."""
        text = path.read_text(encoding="utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new), encoding="utf-8")

    def problems(self) -> list[Problem]:
        return check_corpus(self.places)

    def run(self, *arguments: str | bytes) -> Run:
        return run_kwiki(arguments, self.environment)


def make_record(repo: str, number: int, title: str, **changes: Any) -> Record:
    """A record that breaks no rule; `changes` replace its fields."""
    sha = str(number)[0] * 40
    facts: dict[str, Any] = {
        "id": f"{repo.rsplit('/', 1)[-1]}#{number}",
        "repo": repo,
        "number": number,
        "title": title,
        "url": f"https://github.com/{repo}/pull/{number}",
        "merged_at": f"2025-0{number}-15T10:00:00Z",
        "merge_sha": sha,
        "files": (ChangedFile("csrc/tma_load.cuh", 40, 2),),
        "evidence": (Evidence("instruction", "cp.async.bulk.tensor.2d", "csrc/tma_load.cuh", 12), Evidence("arch", "sm90")),
    }
    return Record(**{**facts, **changes})


@pytest.fixture
def new_record() -> Callable[..., Record]:
    """`make_record`, for tests that lie beside other `conftest` modules."""
    return make_record


@pytest.fixture
def small_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCorpus:
    """A fresh copy of the small corpus, also the one that `KWIKI_CORPUS` and `KWIKI_HOME` name during the test."""
    corpus = SmallCorpus(tmp_path / "corpus", tmp_path / "home")
    shutil.copytree(FIXTURE_CORPUS, corpus.folder)
    (corpus.folder / "model").mkdir()
    for name in ("model.json", "model.onnx", "tokenizer.json"):
        (corpus.folder / "model" / name).symlink_to(ROOT / "corpus" / "model" / name)
    corpus.records = [
        make_record("acme/kernels", 1, "Load the A tile with TMA multicast"),
        make_record("acme/kernels", 2, "Stop the register spill in the epilogue"),
        make_record("acme/attention", 7, "Split KV for long decode sequences"),
    ]
    corpus.write()
    (corpus.folder / "questions").mkdir()
    question = {"query": "who loads tiles with one thread", "kind": "plain", "id": "kernels#1"}
    (corpus.folder / "questions" / "questions.jsonl.gz").write_bytes(compress(json.dumps(question) + "\n"))
    for name, value in corpus.environment.items():
        monkeypatch.setenv(name, value)
    return corpus

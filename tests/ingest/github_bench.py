"""One data folder, one GitHub on loopback and one clock: what the tests of GitHub ingest stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from github_server import GitHub

from ingest.client import Client
from ingest.github_run import GitHubOptions
from ingest.github_sync import sync_github
from ingest.session import Report, Session
from ingest.waits import Waiter
from kernelwiki.home import Places, corpus_folder
from kernelwiki.model import Record
from kernelwiki.reading.records import read_records

REPO = "acme/fastkernels"


@dataclass
class FakeClock:
    """A clock that the test moves: a wait takes no time and is written down."""

    time: float = 1_789_999_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@dataclass
class Bench:
    """One data folder, one server, one clock."""

    home: Path
    github: GitHub
    clock: FakeClock = field(default_factory=FakeClock)
    said: list[str] = field(default_factory=list)

    def client(self, **values: Any) -> Client:
        waiter = Waiter(values.pop("max_wait", 4_000.0), self.clock, self.said.append)
        return Client(self.github.base_url, values.pop("token", ""), waiter, **values)

    def sync(self, repo: str = REPO, client: Client | None = None, **options: Any) -> Report:
        report = Report(repo, "github")
        places = Places(corpus_folder(), self.home)
        sync_github(Session.open(places), client or self.client(), report, GitHubOptions(**options))
        return report

    @property
    def records(self) -> dict[str, Record]:
        return {record.id: record for record in read_records(self.home / "records")}

    def content(self) -> dict[str, bytes]:
        """Every stored byte but what carries a clock."""
        files = (path for path in sorted(self.home.rglob("*")) if path.is_file() and path.name not in ("last_run.json", "lock"))
        return {str(path.relative_to(self.home)): path.read_bytes() for path in files}


def fill(github: GitHub, count: int, name: str = REPO) -> None:
    for number in range(1, count + 1):
        github.repository(name).add(number)

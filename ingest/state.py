"""State: how far each repository has been read, what was left out and why, and what a killed run had already fetched.

One folder a repository below `KWIKI_HOME/ingest`. `state.json` depends on what was read alone (no clock), `last_run.json` is for people,
`left_out.jsonl.gz` lets `explain` answer, `journal.jsonl` holds what was fetched and not yet stored.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kernelwiki.reading.records import compress, write_atomically

STATE_SCHEMA = 1
_BROKEN = (OSError, ValueError, TypeError, KeyError, EOFError, zlib.error)


@dataclass
class GitHubState:
    """How far GitHub was read. `cursor` is the greatest `updated_at` fully processed; `seen` numbers are at that `updated_at` done."""

    base_url: str = ""
    id: int = 0
    cursor: str = ""
    etag: str = ""
    page: str = ""
    since: str = ""
    rules: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class GitState:
    """How far a clone was read: its head, the number of commits that lead to it, and what they were read with."""

    head: str = ""
    commits: int = 0
    since: str = ""
    first_parent: bool = False
    rules: str = ""


@dataclass
class RepoState:
    """Everything remembered about one repository."""

    repo: str
    github: GitHubState = field(default_factory=GitHubState)
    git: GitState = field(default_factory=GitState)


@dataclass(frozen=True)
class LeftOut:
    """A pull request that the policy keeps out: the decision and the rules that made it. `sha` is what was looked at."""

    number: int
    title: str
    decision: str
    score: int
    reasons: tuple[str, ...]
    sha: str = ""


@dataclass(frozen=True)
class RepoFolder:
    """The files of one repository below `ingest` in the data folder."""

    path: Path

    def read(self, repo: str) -> RepoState:
        """The state, a fresh one when there is none or it cannot be read: everything is then read again."""
        try:
            data = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
            if data.get("schema_version") == STATE_SCHEMA:
                return RepoState(data["repo"], GitHubState(**data["github"]), GitState(**data["git"]))
        except _BROKEN:
            pass
        return RepoState(repo)

    def write(self, state: RepoState) -> None:
        """Replace the state. Call it after the records are in the store, never before."""
        self.path.mkdir(parents=True, exist_ok=True)
        data = json.dumps({"schema_version": STATE_SCHEMA, **asdict(state)}, indent=1, sort_keys=True)
        write_atomically(self.path / "state.json", data.encode() + b"\n")

    def last_run(self) -> dict[str, Any]:
        """What the last run reported, empty when there was none."""
        try:
            data = json.loads((self.path / "last_run.json").read_text(encoding="utf-8"))
            return data if isinstance(data, dict) else {}
        except _BROKEN:
            return {}

    def write_last_run(self, report: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "last_run.json", (json.dumps(dict(report), indent=1, ensure_ascii=False) + "\n").encode())

    def left_out(self) -> dict[int, LeftOut]:
        """Pull requests that the policy kept out, by number."""
        try:
            lines = gzip.decompress((self.path / "left_out.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
            rows = [LeftOut(**{**row, "reasons": tuple(row["reasons"])}) for row in map(json.loads, lines)]
            return {row.number: row for row in rows}
        except _BROKEN:
            return {}

    def write_left_out(self, rows: Mapping[int, LeftOut]) -> None:
        """Replace the list; the same rows give the same bytes."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(asdict(rows[number]), ensure_ascii=False) + "\n" for number in sorted(rows))
        write_atomically(self.path / "left_out.jsonl.gz", compress(text, 6))

    def journal(self) -> Journal:
        return Journal(self.path / "journal.jsonl")

    def pointer(self) -> str:
        """The name under which the repository goes on, empty when it was not renamed."""
        try:
            return str(json.loads((self.path / "renamed.json").read_text(encoding="utf-8"))["to"])
        except _BROKEN:
            return ""

    def point_to(self, name: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "renamed.json", json.dumps({"to": name}).encode())

    def move_to(self, other: RepoFolder) -> None:
        """Take everything over under the name that the repository has now."""
        if self.path.is_dir():
            shutil.rmtree(other.path, ignore_errors=True)
            self.path.rename(other.path)


@dataclass(frozen=True)
class Journal:
    """What was fetched and is not in the store yet, one line a pull request; a torn last line is dropped."""

    path: Path

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one entry; it is there as soon as this returns, also when the process is killed right after."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(dict(entry), ensure_ascii=True) + "\n")

    def entries(self) -> Iterator[dict[str, Any]]:
        """Entries in the order in which they were added."""
        with contextlib.suppress(FileNotFoundError), self.path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                if line.endswith("\n"):
                    with contextlib.suppress(ValueError):
                        entry = json.loads(line)
                        if isinstance(entry, dict):
                            yield entry

    def mend(self) -> None:
        """Cut a torn last line off, so that the next entry starts a line of its own."""
        with contextlib.suppress(FileNotFoundError), self.path.open("r+b") as file:
            data_end = file.seek(0, 2)
            block = min(data_end, 1 << 16)
            while data_end:
                file.seek(max(0, data_end - block))
                tail = file.read(block)
                place = tail.rfind(b"\n")
                if place >= 0 or data_end <= block:
                    file.truncate(max(0, data_end - block) + place + 1)
                    return
                data_end -= block

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


def repo_folder(home: Path, repo: str) -> RepoFolder:
    """The folder of `repo` ("owner/name"); names are checked before, so that they are safe as a file name."""
    return RepoFolder(home / "ingest" / repo.replace("/", "__"))


def repo_folders(home: Path) -> list[RepoFolder]:
    """The folders of every repository that was read, sorted."""
    base = home / "ingest"
    return [RepoFolder(path) for path in sorted(base.iterdir()) if path.is_dir()] if base.is_dir() else []

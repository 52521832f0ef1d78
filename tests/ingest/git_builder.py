"""Real git repositories that tests make themselves, with fixed dates and people, so that every run gives the same commits."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_WHO = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b.invalid", "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@d.invalid"}
_PLAIN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


@dataclass
class Builder:
    """A working tree with a clock of its own: each commit is an hour after the one before."""

    path: Path
    hours: int = 0

    @classmethod
    def new(cls, path: Path) -> Builder:
        path.mkdir(parents=True)
        builder = cls(path)
        builder.git("init", "-q", "-b", "main")
        return builder

    def git(self, *arguments: str, text: str | None = None) -> str:
        moment = f"2026-01-{1 + self.hours // 24:02}T{self.hours % 24:02}:00:00+0000"
        dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        environment = {**os.environ, **_WHO, **_PLAIN, **dates}
        command = ["git", "-c", "protocol.file.allow=always", "-C", str(self.path), *arguments]
        done = subprocess.run(
            command, env=environment, input=text, capture_output=True, check=False, encoding="utf-8", errors="surrogateescape"
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()

    def write(self, name: str, content: str | bytes) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str, **files: str | bytes) -> str:
        """Commit `files` (name with `__` for `/` and `_DOT_` for `.`) with `message`; gives the SHA."""
        self.hours += 1
        for name, content in files.items():
            self.write(name.replace("__", "/").replace("_DOT_", "."), content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-F", "-", text=message)
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str, start: str = "main") -> None:
        self.git("checkout", "-q", "-b", name, start)

    def switch(self, name: str) -> None:
        self.git("checkout", "-q", name)

    def merge(self, name: str, message: str) -> str:
        """A merge commit of branch `name` into the current one."""
        self.hours += 1
        self.git("merge", "-q", "--no-ff", "-m", message, name)
        return self.git("rev-parse", "HEAD")


def kernel(lines: int, mark: str = "x") -> str:
    """A small kernel of our own with `lines` numbered lines."""
    return "".join(f"int {mark}_{number};\n" for number in range(lines))

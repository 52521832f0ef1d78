"""Git repository: a clone, a bare mirror, a shallow or partial clone, read with git and nothing of its own configuration run.

No hook, no pager, no external diff, no text conversion, no network: a partial clone's missing blob is an error here, not a download.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError

_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=true",
    "diff.external=",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.renames=true",
    "diff.renameLimit=1000",
    "log.showSignature=false",
)
_SAFE = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--submodule=short")
_SHA = re.compile(rb"[0-9a-f]{40}")
MAX_PATCH = 4_000_000  # characters of one commit's diff; what follows is generated or vendored code
MAX_SINGLE = 300  # files that are looked at one by one when an object of their commit is missing


class BrokenObject(IngestError):
    """git could not read an object of the repository, such as the missing blob of a partial clone."""


@dataclass(frozen=True)
class Commit:
    """One commit: parents in order, the committer's date as ISO 8601 in UTC, the whole message."""

    sha: str
    parents: tuple[str, ...]
    date: str
    message: str


@dataclass(frozen=True)
class FileChange:
    """One changed path of a commit; counts are None for a binary file, or when its content is not there."""

    path: str
    status: str
    previous: str = ""
    additions: int | None = None
    deletions: int | None = None


_STATUS = {"A": "added", "M": "modified", "D": "removed", "R": "renamed", "C": "copied", "T": "changed"}


@dataclass(frozen=True)
class GitRepo:
    """A repository at `path` (a working tree or a bare one)."""

    path: Path

    def check(self) -> None:
        """Raise IngestError that says why `path` cannot be read as a repository."""
        self.text("rev-parse", "--git-dir")

    def head(self, branch: str = "HEAD") -> str:
        """The commit that `branch` points to. Raises IngestError when there is none."""
        return self.text("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}").strip()

    def has(self, sha: str) -> bool:
        """Whether the commit is here."""
        return (
            subprocess.run(
                self._command("cat-file", "-e", f"{sha}^{{commit}}"), env=_environment(), capture_output=True, check=False
            ).returncode
            == 0
        )

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `old` is `new` or an ancestor of it, and still here."""
        done = subprocess.run(self._command("merge-base", "--is-ancestor", old, new), env=_environment(), capture_output=True, check=False)
        return done.returncode == 0

    def shallow(self) -> frozenset[str]:
        """Commits at the boundary of a shallow clone: their parents are not here."""
        path = self.path / self.text("rev-parse", "--git-path", "shallow").strip()
        return frozenset(path.read_text(encoding="ascii").split()) if path.is_file() else frozenset()

    def first_parents(self, head: str) -> set[str]:
        """Commits on the first-parent line of `head`."""
        return set(self.text("rev-list", "--first-parent", head).split())

    def commits(self, head: str, *, after: str = "", since: str = "", first_parent: bool = False) -> Iterator[Commit]:
        """Commits that lead to `head`, newest first, without those that lead to `after`; `since` is a date."""
        options = [*(["--first-parent"] if first_parent else []), *([f"--since={since}T00:00:00Z"] if since else [])]
        form = "--format=%H%n%P%n%cd%n%B"
        arguments = [
            "log",
            "-z",
            "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
            form,
            "--no-notes",
            *options,
            head,
            *([f"^{after}"] if after else []),
            "--",
        ]
        for raw in self._stream(arguments, b"\0"):
            sha, parents, date, message = [*raw.decode("utf-8", "replace").split("\n", 3), "", "", ""][:4]
            if len(sha) == 40:
                yield Commit(sha, tuple(parents.split()), date, message.strip("\n"))

    def changes(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[FileChange], bool]]:
        """(commit, changed files, complete) of commits, given as (commit, parent or "") pairs, in their order.

        Where git cannot read an object, that commit's files come one by one: what is missing has no counts, and `complete` is false.
        """
        left = list(pairs)
        while left:
            done = 0
            try:
                for commit, found in self._changes(left):
                    yield commit, found, True
                    done += 1
                done = len(left)
            except BrokenObject:
                yield self._alone(*left[done])
                done += 1
            left = left[done:]

    def _changes(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[FileChange]]]:
        found: list[FileChange] = []
        seen = 0
        tokens = self._diff_tree(["--always", "--raw", "--numstat", "-z", "-M"], pairs, b"\0")
        for token in tokens:
            if seen < len(pairs) and token == pairs[seen][0].encode():
                if seen:
                    yield pairs[seen - 1][0], found
                seen, found = seen + 1, []
            elif token.startswith(b":"):
                found.append(_raw_change(token, tokens))
            else:
                _count(token, tokens, found)
        if seen:
            yield pairs[seen - 1][0], found

    def _alone(self, commit: str, parent: str) -> tuple[str, list[FileChange], bool]:
        """One commit near which git stopped: as a whole when it is not the broken one, else file by file."""
        try:
            return *next(self._changes([(commit, parent)])), True
        except (BrokenObject, StopIteration):
            return commit, self._one_by_one(commit, parent), False

    def _one_by_one(self, commit: str, parent: str) -> list[FileChange]:
        """Changed files of a commit from its trees, each counted on its own; renames only where the content is the same."""
        tokens = self._diff_tree(["--raw", "-z", "-M100%"], [(commit, parent)], b"\0")
        found = [_raw_change(token, tokens) for token in tokens if token.startswith(b":")]
        for change in found[:MAX_SINGLE]:
            try:
                paths = [f":(literal){path}" for path in (change.previous, change.path) if path]
                counts = self._diff_tree(["--numstat", "-z", "-M100%"], [(commit, parent)], b"\0", paths)
                for token in counts:
                    if not _SHA.fullmatch(token):
                        _count(token, counts, found)
            except BrokenObject:
                continue
        return found

    def patch(self, commit: str, parent: str, changes: Sequence[FileChange] = (), complete: bool = True) -> str:
        """The diff of one commit against `parent` (or nothing), at most MAX_PATCH characters.

        Of a commit that is not `complete`, file by file: what git cannot read is left out.
        """
        if complete:
            try:
                return self._patch(commit, parent)
            except BrokenObject:
                pass
        parts = []
        for change in changes[:MAX_SINGLE]:
            try:
                parts.append(self._patch(commit, parent, [f":(literal){path}" for path in (change.previous, change.path) if path]))
            except BrokenObject:
                continue
        return "\n".join(part for part in parts if part)[:MAX_PATCH]

    def _patch(self, commit: str, parent: str, paths: Sequence[str] = ()) -> str:
        parts: list[str] = []
        size = 0
        for line in self._diff_tree(["-p", "-M", *_DIFF], [(commit, parent)], b"\n", paths):
            text = line.decode("utf-8", "replace")
            size += len(text) + 1
            if size > MAX_PATCH:
                break
            parts.append(text)
        return "\n".join(parts[1:])

    def pull_heads(self) -> dict[str, int]:
        """Pull request numbers by head commit, in a mirror that has `refs/pull/N/head`."""
        lines = self.text("for-each-ref", "--format=%(objectname) %(refname)", "refs/pull/*/head").splitlines()
        pairs = (line.split(" ", 1) for line in lines)
        return {sha: int(number.group(1)) for sha, name in pairs if (number := re.match(r"refs/pull/(\d+)/head$", name))}

    def text(self, *arguments: str) -> str:
        """What git prints. Raises IngestError with git's own words."""
        try:
            done = subprocess.run(self._command(*arguments), env=_environment(), capture_output=True, check=False)
        except OSError as error:
            raise IngestError(f"git cannot be run ({error.strerror}). Install git.") from error
        if done.returncode:
            raise IngestError(f"{self.path}: {_words(done.stderr) or 'not found'}. Give the folder of a git clone or bare mirror.")
        return done.stdout.decode("utf-8", "replace")

    def _command(self, *arguments: str) -> list[str]:
        return ["git", "-C", str(self.path), *_SAFE, *arguments]

    def _diff_tree(
        self, options: Sequence[str], pairs: Iterable[tuple[str, str]], separator: bytes, paths: Sequence[str] = ()
    ) -> Iterator[bytes]:
        text = "".join(f"{commit} {parent}\n" if parent else f"{commit}\n" for commit, parent in pairs)
        yield from self._stream(["diff-tree", "--stdin", "--root", "-r", *options, "--", *paths], separator, text.encode())

    def _stream(self, arguments: Sequence[str], separator: bytes, given: bytes = b"") -> Iterator[bytes]:
        """Pieces of git's output between `separator`s, as they come. Raises BrokenObject when git fails."""
        import tempfile

        with tempfile.TemporaryFile() as feed, tempfile.TemporaryFile() as errors:
            feed.write(given)
            feed.seek(0)
            try:
                process = subprocess.Popen(self._command(*arguments), env=_environment(), stdin=feed, stdout=subprocess.PIPE, stderr=errors)
            except OSError as error:
                raise IngestError(f"git cannot be run ({error.strerror}). Install git.") from error
            try:
                assert process.stdout is not None
                rest = b""
                while block := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
                    *pieces, rest = (rest + block).split(separator)
                    yield from pieces
                if rest:
                    yield rest
                code = process.wait()
                errors.seek(0)
                if code:
                    raise BrokenObject(f"{self.path}: {_words(errors.read())}")
            finally:
                process.kill()
                process.wait()
                if process.stdout:
                    process.stdout.close()


def _raw_change(token: bytes, tokens: Iterator[bytes]) -> FileChange:
    """A change from git's raw format: `:modes shas status`, then one path, or two for a rename."""
    letter = token.rsplit(b" ", 1)[-1][:1].decode("ascii", "replace")
    first = next(tokens, b"").decode("utf-8", "replace")
    if letter in ("R", "C"):
        return FileChange(next(tokens, b"").decode("utf-8", "replace"), _STATUS[letter], first)
    return FileChange(first, _STATUS.get(letter, "changed"))


def _count(token: bytes, tokens: Iterator[bytes], found: list[FileChange]) -> None:
    """Lines of one path, from git's numstat format, into `found`."""
    added, removed, path = [*token.split(b"\t", 2), b"", b""][:3]
    if not path:
        next(tokens, b"")
        path = next(tokens, b"")
    name = path.decode("utf-8", "replace")
    for place, change in enumerate(found):
        if change.path == name and change.additions is None:
            if added.isdigit() and removed.isdigit():
                found[place] = FileChange(name, change.status, change.previous, int(added), int(removed))
            return


def _words(errors: bytes) -> str:
    """git's complaint as one line."""
    text = errors.decode("utf-8", "replace").strip().replace("\n", " ")
    return "".join(char if char.isprintable() else " " for char in text)[:300].rstrip(".")


def _environment() -> dict[str, str]:
    """Nothing that asks, pages, fetches or comes from the user's or system's configuration of diffs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "TZ": "UTC"}
    return {**kept, **quiet, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_ATTR_NOSYSTEM": "1"}

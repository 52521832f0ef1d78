"""Git source: merged pull requests of a clone: number from the commit message, files, counts and whole diff from git."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.git_repo import Commit, FileChange, GitRepo
from ingest.recipes import Recipe

_BATCH = 400


@dataclass
class History:
    """What a walk over the commits saw."""

    commits: int = 0
    unnumbered: int = 0
    repeated: int = 0
    cut: int = 0
    missing: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What a reader of the result should know."""
        found = []
        if self.unnumbered:
            found.append(f"{self.unnumbered} of {self.commits} commits name no pull request (edited titles, rebase merges, direct pushes)")
        if self.repeated:
            found.append(f"{self.repeated} commits repeat a number that another commit has")
        if self.cut:
            found.append(f"{self.cut} commits stand at the edge of a shallow clone: their changes are unknown, deepen it to have them")
        if self.missing:
            found.append(f"objects of {len(self.missing)} commits are missing (a partial clone?): {', '.join(self.missing[:5])}")
        return found


@dataclass(frozen=True)
class Merged:
    """A commit that merged a pull request."""

    number: int
    via: str
    commit: Commit


def merged(
    repo: GitRepo, recipe: Recipe, head: str, history: History, *, after: str = "", since: str = "", first_parent: bool = False
) -> list[Merged]:
    """Pull requests whose merge leads to `head`, by number. Of several commits with one number the oldest on the main line counts."""
    mainline = repo.first_parents(head)
    boundary = repo.shallow()
    heads = repo.pull_heads()
    found: dict[int, Merged] = {}
    for commit in repo.commits(head, after=after, since=since, first_parent=first_parent):
        history.commits += 1
        named = recipe.number(commit.message) or _by_pull_head(commit, heads)
        if named is None:
            history.unnumbered += 1
            continue
        if commit.sha in boundary:
            history.cut += 1
            continue
        number, via = named
        other = found.get(number)
        if other is not None:
            history.repeated += 1
        if other is None or commit.sha in mainline or other.commit.sha not in mainline:
            found[number] = Merged(number, via, commit)
    return [found[number] for number in sorted(found)]


def _by_pull_head(commit: Commit, heads: dict[str, int]) -> tuple[int, str] | None:
    """The pull request whose head a merge commit brought in, in a mirror that has pull references."""
    number = heads.get(commit.parents[1]) if len(commit.parents) == 2 else None
    return (number, "pull reference") if number else None


def pulls(
    repo: GitRepo,
    found: list[Merged],
    name: str,
    history: History,
    *,
    wanted: Callable[[dict[str, Any]], bool],
    web: str = "https://github.com",
) -> Iterator[dict[str, Any]]:
    """The pull requests in the shape of `record_files`; the diff is read only of those that are `wanted`."""
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        pairs = [(one.commit.sha, one.commit.parents[0] if one.commit.parents else "") for one in batch]
        for one, pair, (sha, changes, complete) in zip(batch, pairs, repo.changes(pairs), strict=True):
            if not complete:
                history.missing.append(sha[:12])
            raw = _raw(one, changes, name, web)
            if wanted(raw):
                raw["patch"] = repo.patch(*pair, changes, complete)
            yield raw


def _raw(one: Merged, changes: list[FileChange], name: str, web: str) -> dict[str, Any]:
    title, body = _title_and_body(one)
    return {
        "repo": name,
        "number": one.number,
        "url": f"{web}/{name}/pull/{one.number}",
        "title": title,
        "body": body,
        "merged_at": one.commit.date,
        "merge_sha": one.commit.sha,
        "files": _files(changes),
        "source": "git",
    }


def raw_files(repo: GitRepo, sha: str) -> tuple[list[dict[str, Any]], str]:
    """Changed files and diff of one merge commit, as `record_files` has them."""
    parent = repo.text("rev-list", "--parents", "-n", "1", sha).split()[1:2]
    pair = (sha, parent[0] if parent else "")
    _, changes, complete = next(repo.changes([pair]))
    return _files(changes), repo.patch(*pair, changes, complete)


def _files(changes: list[FileChange]) -> list[dict[str, Any]]:
    return [
        {"path": change.path, "additions": change.additions, "deletions": change.deletions, "status": change.status} for change in changes
    ]


def _title_and_body(one: Merged) -> tuple[str, str]:
    """The title of a squash is its subject without the number, that of a merge commit the first line below it."""
    subject, _, rest = one.commit.message.partition("\n")
    body = rest.strip("\n")
    if one.via == "merge":
        first, _, below = body.partition("\n")
        return (first.strip() or subject), below.strip("\n")
    title = re.sub(rf"\s*\(#{one.number}\)\s*$", "", subject).strip() or subject
    first, _, below = body.partition("\n")
    if title.endswith("…") and first.startswith("…"):  # GitHub cuts a long subject and goes on in the body
        return title[:-1] + first[1:].rstrip(), below.strip("\n")
    return title, body

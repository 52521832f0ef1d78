"""GraphQL: paths and discussion of many pull requests in one request, where REST needs three for each.

Needs a token. A server without it, or one that fails on it, is asked by REST instead; a part that does not fit one page too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.client import Client, Refused
from ingest.github_source import MAX_COMMENTS, ordered

WORTH_IT = 10  # pull requests from which on one query costs less than their single requests
_BATCH = 20
_SMALLEST = 5

_PULL = """p{n}: pullRequest(number: {n}) {{
  files(first: 100) {{ nodes {{ path additions deletions }} pageInfo {{ hasNextPage }} }}
  comments(first: 50) {{ nodes {{ body createdAt author {{ __typename login }} }} pageInfo {{ hasNextPage }} }}
  reviewThreads(first: 30) {{
    nodes {{ comments(first: 20) {{ nodes {{ body createdAt author {{ __typename login }} }} pageInfo {{ hasNextPage }} }} }}
    pageInfo {{ hasNextPage }}
  }}
}}"""
_QUERY = "query($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{ {pulls} }} }}"


@dataclass(frozen=True)
class Details:
    """What GraphQL said of one pull request; None for what it could not give whole."""

    paths: tuple[str, ...] | None
    discussion: tuple[str, ...] | None


@dataclass
class Batches:
    """Asks for details in batches; after a failure that smaller batches do not cure it asks no more."""

    client: Client
    size: int = _BATCH
    usable: bool = True

    def details(self, repo: str, numbers: Sequence[int]) -> dict[int, Details]:
        """Details by number; a number that is missing must be asked for by REST."""
        found: dict[int, Details] = {}
        left = list(numbers)
        while left and self.usable and self.client.token:
            try:
                found.update(self._ask(repo, left[: self.size]))
            except Refused as error:
                if error.status in (0, 502, 503, 504) and self.size > _SMALLEST:
                    self.size = max(_SMALLEST, self.size // 2)
                    continue
                self.usable = False
                break
            left = left[self.size :]
        return found

    def _ask(self, repo: str, numbers: Sequence[int]) -> Iterator[tuple[int, Details]]:
        owner, name = repo.split("/", 1)
        text = _QUERY.format(pulls="\n".join(_PULL.format(n=number) for number in numbers))
        data = self.client.query(text, {"owner": owner, "name": name})
        rows = data.get("repository") if isinstance(data, dict) else None
        if not isinstance(rows, dict):
            raise Refused("GraphQL: the answer has no repository.", 200)
        pulls = ((number, rows.get(f"p{number}")) for number in numbers)
        return iter([(number, _details(pull)) for number, pull in pulls if isinstance(pull, dict)])


def _details(pull: Mapping[str, Any]) -> Details:
    files, comments, threads = (_whole(pull.get(key)) for key in ("files", "comments", "reviewThreads"))
    paths = None if files is None else tuple(str(file["path"]) for file in files if isinstance(file.get("path"), str))
    nested = None if threads is None else [_whole(thread.get("comments")) for thread in threads]
    if comments is None or nested is None or any(part is None for part in nested):
        return Details(paths, None)
    lines = [comment for part in nested for comment in part or ()]
    said = [*ordered(map(_as_rest, comments)), *ordered(map(_as_rest, lines))]
    return Details(paths, tuple(said[:MAX_COMMENTS]))


def _whole(connection: Any) -> list[dict[str, Any]] | None:
    """The nodes of a connection when they are all of them."""
    if not isinstance(connection, dict) or not isinstance(connection.get("nodes"), list):
        return None
    info = connection.get("pageInfo")
    if not isinstance(info, dict) or info.get("hasNextPage") is not False:
        return None
    return [node for node in connection["nodes"] if isinstance(node, dict)]


def _as_rest(node: Mapping[str, Any]) -> dict[str, Any]:
    """A comment in the form of REST."""
    author = node.get("author")
    user = {"type": author.get("__typename"), "login": author.get("login")} if isinstance(author, dict) else None
    return {"body": node.get("body"), "created_at": node.get("createdAt"), "user": user}

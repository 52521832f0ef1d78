"""GitHub source: what the REST lists say of merged pull requests, as the shape of `record_files`. Optional fields may be null.

One request lists a hundred pull requests; the lists are never completed one by one. Files cost one request a hundred, comments two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ingest.client import Client, Refused, Response, missing_repository
from ingest.errors import IngestError, NotAllowed

MAX_COMMENTS = 200
_SHA = re.compile(r"[0-9a-f]{40}")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class OddAnswer(IngestError):
    """An answer that is not what the interface promises: the one pull request is counted as rejected."""


def first_page(client: Client, repo: str, etag: str = "") -> Response:
    """Page one of the closed pull requests, last changed first; status 304 when it is as `etag` says.

    Raises RepositoryMissing, NotAllowed, LimitReached, IngestError.
    """
    try:
        response = client.get(f"/repos/{quote(repo)}/pulls", etag=etag, state="closed", sort="updated", direction="desc", per_page=100)
    except Refused as error:
        if error.status in (404, 410, 451):
            raise missing_repository(repo, client.token) from error
        if error.status == 403:
            raise NotAllowed(f"{repo}: this token may not read it (403). {error} Set GITHUB_TOKEN to one that may.") from error
        raise
    if response.status != 304 and not isinstance(response.data, list):
        raise IngestError(f"{client.base_url}: the list of pull requests is no list. Check --base-url (it ends in /api/v3 on a server).")
    return response


def items(response: Response) -> Iterator[Mapping[str, Any]]:
    """The objects of one page; what is not an object is passed over."""
    return (item for item in response.data or () if isinstance(item, dict)) if isinstance(response.data, list) else iter(())


def pages_in_all(response: Response) -> int:
    """How many pages a list has, from the Link header of page one."""
    number = re.search(r"[?&]page=(\d+)", response.links.get("last", ""))
    return int(number.group(1)) if number else 1 + bool(response.links.get("next"))


def raw_pull(item: Mapping[str, Any], repo: str) -> dict[str, Any]:
    """The text half of a listed pull request: who, what, when; no files yet. Raises OddAnswer when it lacks what nobody can do without."""
    head = item.get("head")
    head_sha = str(head.get("sha") or "") if isinstance(head, dict) else ""
    merge_sha = str(item.get("merge_commit_sha") or head_sha)
    number, title, merged_at = item.get("number"), item.get("title"), item.get("merged_at")
    if type(number) is not int or not isinstance(title, str) or not isinstance(merged_at, str):
        raise OddAnswer("the list lacks its number, title or merge date")
    labels = item.get("labels") or []
    return {
        "repo": repo,
        "number": number,
        "url": str(item.get("html_url") or f"https://github.com/{repo}/pull/{number}"),
        "title": title,
        "body": str(item.get("body") or ""),
        "merged_at": merged_at,
        "merge_sha": merge_sha,
        "diff_sha": head_sha if _SHA.fullmatch(head_sha) and head_sha != merge_sha else "",
        "labels": [str(label.get("name") or "") for label in labels if isinstance(label, dict) and label.get("name")],
        "source": "github",
    }


def repository(item: Mapping[str, Any]) -> tuple[int, str]:
    """(id, "owner/name") of the repository that a listed pull request was merged into; (0, "") when the list does not say."""
    base = item.get("base")
    found = base.get("repo") if isinstance(base, dict) else None
    if not isinstance(found, dict) or type(found.get("id")) is not int:
        return 0, ""
    return found["id"], str(found.get("full_name") or "")


def files_and_patch(client: Client, repo: str, number: int) -> tuple[list[dict[str, Any]], str]:
    """Changed files (at most 3,000, GitHub's limit) with counts, and their diff; a big or binary file has no diff. Raises Refused."""
    files: list[dict[str, Any]] = []
    parts: list[str] = []
    for page in client.pages(f"/repos/{quote(repo)}/pulls/{number}/files", per_page=100):
        for item in items(page):
            path = item.get("filename")
            if not isinstance(path, str) or not path:
                continue
            counts = {key: item[key] for key in ("additions", "deletions") if type(item.get(key)) is int}
            files.append({"path": path, "status": str(item.get("status") or "changed"), **counts})
            patch = item.get("patch")
            if isinstance(patch, str) and patch and not _CONTROL.search(path):
                old = item.get("previous_filename")
                before = old if isinstance(old, str) and not _CONTROL.search(old) else path
                parts.append(f"diff --git a/{before} b/{path}\n--- a/{before}\n+++ b/{path}\n{patch}")
    return files, "\n".join(parts)


def discussion(client: Client, repo: str, number: int) -> list[str]:
    """Comments on the pull request and on its lines, without their authors and without robots. Raises Refused."""
    found: list[str] = []
    for path in (f"/repos/{quote(repo)}/issues/{number}/comments", f"/repos/{quote(repo)}/pulls/{number}/comments"):
        try:
            said: list[Mapping[str, Any]] = []
            for page in client.pages(path, per_page=100):
                said += items(page)
                if len(said) >= MAX_COMMENTS:
                    break
            found += ordered(said)
        except Refused as error:
            if error.status not in (404, 410):
                raise
    return found[:MAX_COMMENTS]


def ordered(comments: Iterable[Mapping[str, Any]]) -> list[str]:
    """Texts of comments that people wrote, oldest first, the same from REST and GraphQL."""
    rows = sorted((str(item.get("created_at") or ""), str(item["body"]).replace("\r\n", "\n")) for item in comments if _is_said(item))
    return [text for _, text in rows]


def _is_said(item: Mapping[str, Any]) -> bool:
    """Whether a comment has text of a person."""
    user = item.get("user")
    robot = isinstance(user, dict) and (user.get("type") == "Bot" or str(user.get("login") or "").endswith("[bot]"))
    return isinstance(item.get("body"), str) and bool(item["body"].strip()) and not robot


def one_pull(client: Client, repo: str, number: int) -> Mapping[str, Any]:
    """A single pull request, for those that failed in an earlier run. Raises Refused, OddAnswer."""
    data = client.get(f"/repos/{quote(repo)}/pulls/{number}").data
    if not isinstance(data, dict):
        raise OddAnswer("the answer is no pull request")
    return data

"""A GitHub on loopback: pull requests, files and comments with Link pagination, ETags, limits and every fault of a real one.

It speaks GitHub's REST and enough of its GraphQL; the real PyGithub talks to it. Faults are queued: each is served once.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

PREFIX = "/api/v3"
Fault = Callable[["Handler"], bool]


@dataclass
class Repository:
    """What the server holds of one repository; pull requests, files and comments by number."""

    name: str
    id: int = 4711
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    issue_comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    review_comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, number: int, title: str = "Speed up the decode kernel", *, updated: str = "", **changes: Any) -> dict[str, Any]:
        """One merged pull request with one kernel file and two comments; `changes` replace fields of the list entry."""
        moment = updated or f"2026-02-{number % 27 + 1:02}T{number % 24:02}:{number % 60:02}:00Z"
        sha = hashlib.sha1(f"{self.name}{number}".encode()).hexdigest()
        self.pulls[number] = {
            "number": number,
            "state": "closed",
            "title": title,
            "body": f"Body of {number}: the zanzibar{number} path gives 1.25x speedup on H100.",
            "html_url": f"https://github.com/{self.name}/pull/{number}",
            "labels": [{"name": "performance"}],
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": moment,
            "closed_at": moment,
            "merged_at": moment,
            "merge_commit_sha": sha,
            "user": {"login": "somebody", "type": "User"},
            "head": {"sha": sha[::-1], "repo": None},
            "base": {"ref": "main", "repo": {"id": self.id, "full_name": self.name}},
            **changes,
        }
        patch = f"@@ -1,2 +1,3 @@ struct Decode{number} {{\n context\n+  wgmma_fence_marker{number}();\n tail"
        file = {"filename": f"csrc/decode_{number}.cu", "status": "modified", "additions": 1, "deletions": 0, "patch": patch}
        self.files[number] = [file]
        said = {"body": f"Reviewed: quokka{number} looks right.", "user": {"login": "x", "type": "User"}}
        self.issue_comments[number] = [said, {"body": "I am a robot", "user": {"login": "ci[bot]", "type": "Bot"}}]
        self.review_comments[number] = [{"body": f"On this line of {number}.", "user": None, "path": "csrc/a.cu", "line": 3}]
        return self.pulls[number]


class GitHub:
    """The server: its repositories, the requests that came, and the faults still to be served."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.moved: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.statuses: Counter[int] = Counter()
        self.faults: deque[tuple[str, Fault]] = deque()
        self.token = ""
        self.etags = True
        self.graphql = False
        self.remaining = 5_000
        self.released = threading.Event()
        self._lock = threading.Lock()
        owner = self

        class Bound(Handler):
            server_state = owner

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed has hung up: nothing to say about it."""

        self._http = Server(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = True

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def base_url(self) -> str:
        return f"{self.root}{PREFIX}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    def repository(self, name: str = "acme/fastkernels", **values: Any) -> Repository:
        return self.repositories.setdefault(name, Repository(name, **values))

    def fail(self, fault: Fault, path: str = "", times: int = 1) -> None:
        """Serve `fault` to the next `times` requests whose path matches the pattern `path`."""
        self.faults.extend([(path, fault)] * times)

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for place, (pattern, fault) in enumerate(self.faults):
                if re.search(pattern, path):
                    del self.faults[place]
                    return fault
        return None

    @contextmanager
    def running(self) -> Iterator[GitHub]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection; answers as GitHub does."""

    server_state: GitHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the tests look at `requests`."""

    def do_GET(self) -> None:
        github = self.server_state
        path = self.path.removeprefix(PREFIX)
        github.requests.append(("GET", path, {name.lower(): value for name, value in self.headers.items()}))
        fault = github.next_fault(path)
        if fault and fault(self):
            return
        if not self.path.startswith(PREFIX):
            self.answer(404, {"message": "Not Found"})
        elif github.token and self.headers.get("Authorization") not in (f"token {github.token}", f"Bearer {github.token}"):
            self.answer(
                401 if self.headers.get("Authorization") else 404,
                {"message": "Bad credentials" if self.headers.get("Authorization") else "Not Found"},
            )
        else:
            self._route(path)

    def do_POST(self) -> None:
        github = self.server_state
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        github.requests.append(("POST", self.path, {name.lower(): value for name, value in self.headers.items()}))
        fault = github.next_fault("graphql")
        if fault and fault(self):
            return
        if not github.graphql:
            self.answer(404, {"message": "Not Found"})
        else:
            self.answer(200, {"data": graphql_data(github, body)})

    def _route(self, path: str) -> None:
        github, parts = self.server_state, urlsplit(path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        match = re.fullmatch(r"/(?:repos/([^/]+/[^/]+)|repositories/(\d+))/(.+)", parts.path)
        name = match.group(1) if match else ""
        if match and match.group(2):
            name = next((repo.name for repo in github.repositories.values() if repo.id == int(match.group(2))), "")
        if match and name in github.moved:
            new = github.repositories[github.moved[name]]
            target = f"{github.base_url}/repositories/{new.id}/{match.group(3)}?{parts.query}"
            self.answer(301, {"message": "Moved Permanently", "url": target}, {"Location": target})
            return
        repo = github.repositories.get(name)
        if match is None or repo is None:
            self.answer(404, {"message": "Not Found"})
            return
        rest = match.group(3)
        numbered = re.fullmatch(r"(pulls|issues)/(\d+)(?:/(files|comments))?", rest)
        if rest == "pulls":
            self._list(self._sorted(repo, query), parts.path, query)
        elif numbered and int(numbered.group(2)) in repo.pulls:
            number = int(numbered.group(2))
            if not numbered.group(3):
                self.answer(200, repo.pulls[number])
            elif numbered.group(3) == "files":
                self._list(repo.files[number], parts.path, query)
            else:
                comments = repo.review_comments if numbered.group(1) == "pulls" else repo.issue_comments
                self._list(comments.get(number, []), parts.path, query)
        else:
            self.answer(404, {"message": "Not Found"})

    def _sorted(self, repo: Repository, query: dict[str, str]) -> list[dict[str, Any]]:
        wanted = query.get("state", "open")
        rows = [pull for pull in repo.pulls.values() if wanted in ("all", pull["state"])]
        key = {"updated": "updated_at", "created": "created_at"}[query.get("sort", "created")]
        rows.sort(key=lambda pull: (pull[key] or "", pull["number"]), reverse=query.get("direction", "desc") == "desc")
        return rows

    def _list(self, rows: list[dict[str, Any]], path: str, query: dict[str, str]) -> None:
        size, page = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
        last = max(1, -(-len(rows) // size))

        def address(number: int) -> str:
            return f"{self.server_state.root}{PREFIX}{path}?{urlencode({**query, 'page': number})}"

        links = [f'<{address(page + 1)}>; rel="next"', f'<{address(last)}>; rel="last"'] if page < last else []
        links += [f'<{address(1)}>; rel="first"', f'<{address(page - 1)}>; rel="prev"'] if page > 1 else []
        self.answer(200, rows[(page - 1) * size : page * size], {"Link": ", ".join(links)} if links else {})

    def answer(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        """Send `data`; 304 without a body when the client has it already. Only what is not a 304 counts against the limit."""
        github = self.server_state
        body = json.dumps(data).encode()
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        fresh = github.etags and status == 200 and self.headers.get("If-None-Match") == etag
        status, body = (304, b"") if fresh else (status, body)
        github.remaining -= status != 304
        github.statuses[status] += 1
        self.send_response(status)
        limits = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": str(github.remaining), "X-RateLimit-Reset": "1790000000"}
        sent = {**limits, **({"ETag": etag} if github.etags and status in (200, 304) else {}), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def status(code: int, message: str = "Server Error", **headers: str) -> Fault:
    """Answer with `code`; keyword names become headers (`retry_after` is Retry-After)."""

    def serve(handler: Handler) -> bool:
        handler.answer(code, {"message": message}, {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return serve


def cut_off(handler: Handler) -> bool:
    """Promise a long answer and hang up after a few bytes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.wfile.write(b'[{"number":')
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True
    return True


def hang_up(handler: Handler) -> bool:
    """Close the connection without a word."""
    handler.connection.close()
    handler.close_connection = True
    return True


def silent(handler: Handler) -> bool:
    """Say nothing until the test is over: the client must give up by itself."""
    handler.server_state.released.wait(20)
    handler.close_connection = True
    return True


def not_json(handler: Handler) -> bool:
    """A page of a proxy instead of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "15")
    handler.end_headers()
    handler.wfile.write(b"<html>oh</html>")
    return True


def graphql_data(github: GitHub, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a query with one aliased `pullRequest` a number: paths and comments."""
    variables = body["variables"]
    repo = github.repositories[f"{variables['owner']}/{variables['name']}"]
    found = {f"p{number}": _graphql_pull(repo, int(number)) for number in re.findall(r"pullRequest\(number: (\d+)\)", body["query"])}
    return {"repository": found, "rateLimit": {"cost": 1, "remaining": 4_999, "resetAt": "2026-01-01T00:00:00Z"}}


def _graphql_pull(repo: Repository, number: int) -> dict[str, Any] | None:
    if number not in repo.pulls:
        return None

    def nodes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"body": row["body"], "author": row["user"] and {"__typename": row["user"]["type"], "login": row["user"]["login"]}}
            for row in rows
        ]

    files = [{"path": row["filename"], "additions": row["additions"], "deletions": row["deletions"]} for row in repo.files[number]]
    page = {"hasNextPage": False}
    threads = [{"comments": {"nodes": nodes([row]), "pageInfo": page}} for row in repo.review_comments.get(number, [])]
    return {
        "files": {"nodes": files, "pageInfo": page},
        "comments": {"nodes": nodes(repo.issue_comments.get(number, [])), "pageInfo": page},
        "reviewThreads": {"nodes": threads, "pageInfo": page},
    }

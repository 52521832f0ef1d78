"""Client: GitHub's REST and GraphQL interfaces through PyGithub, with every wait, retry and redirect in our own hands.

PyGithub signs and sends; it does not retry here (its own retry skips a 429 without Retry-After), follows no redirect by itself
(it would drop the query) and completes no object lazily (one request each).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from github import Auth, Github, GithubException
from requests.exceptions import RequestException
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from ingest.errors import IngestError, NotAllowed, RepositoryMissing
from ingest.waits import FAULT_TRIES, LIMIT_TRIES, Waiter, fault_seconds, is_limit, limit_seconds

PUBLIC = "https://api.github.com"
PUBLIC_PACE = 0.07  # seconds between requests: 900 points a minute are allowed
TIMEOUT = 30
_MAX_PAGES = 20_000
_MAX_REDIRECTS = 5
_NEXT = re.compile(r"<([^>]+)>\s*((?:;\s*[^;,]+)*)")


class _Redirected(Exception):
    """A redirect, taken out of PyGithub's hands before it follows it."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class _NoRetry(Retry):
    """No retry and no redirect below us: the client decides about both."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return status_code in (301, 302, 307, 308)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> _NoRetry:
        location = response.headers.get("Location") if response is not None else None
        if location:
            raise _Redirected(location)
        return super().increment(method, url, response, error, _pool, _stacktrace)


@dataclass(frozen=True)
class Response:
    """An answer: HTTP status, headers with lower-case names, the JSON document (None for 304)."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def links(self) -> dict[str, str]:
        """Addresses of the Link header by relation."""
        found: dict[str, str] = {}
        for address, parameters in _NEXT.findall(self.headers.get("link", "")):
            relation = re.search(r'rel="?([\w ]+)"?', parameters)
            for name in relation.group(1).split() if relation else ():
                found.setdefault(name, address)
        return found

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")


class Refused(IngestError):
    """One request that the server answered with an error that waiting does not cure; `status` 0 stands for no answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Usage:
    """What a run has asked of the server: requests, those answered 304, and what remains of the limit."""

    requests: int = 0
    unchanged: int = 0
    remaining: int | None = None
    limit: int | None = None


@dataclass
class Client:
    """GitHub at `base_url` with `token` (empty: anonymous). Every request goes through `get` or `query`."""

    base_url: str = PUBLIC
    token: str = ""
    waiter: Waiter = field(default_factory=Waiter)
    pace: float | None = None
    timeout: int = TIMEOUT
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise NotAllowed(f"--base-url {self.base_url}: must be like https://ghe.example.com/api/v3.")
        self.base_url = self.base_url.rstrip("/")
        pace = self.pace if self.pace is not None else PUBLIC_PACE if self.base_url == PUBLIC else 0.0
        github = Github(
            auth=Auth.Token(self.token) if self.token else None,
            base_url=self.base_url,
            timeout=self.timeout,
            retry=_NoRetry(0, redirect=0),
            per_page=100,
            user_agent="kernel-skills",
            seconds_between_requests=pace or None,
            seconds_between_writes=1.0 if pace else None,
        )
        self._requester = github.requester

    def get(self, path: str, etag: str = "", **parameters: Any) -> Response:
        """The document at `path` (below the base address, or a whole address of the same server).

        With `etag` the answer may be status 304. Raises Refused for any other status that waiting does not cure, LimitReached for a
        wait that is too long, NotAllowed for 401.
        """
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if etag:
            headers["If-None-Match"] = etag
        url = self._address(path, parameters)
        for _ in range(_MAX_REDIRECTS):
            try:
                return self._try("GET", url, headers)
            except _Redirected as redirect:
                url = self._moved(url, redirect.location)
        raise Refused(f"{path}: the server redirects in a circle.", 0)

    def pages(self, path: str, first: Response | None = None, **parameters: Any) -> Iterator[Response]:
        """Answers page by page, following the Link header only. `first` is page one when the caller has it already."""
        response = first or self.get(path, **parameters)
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            yield response
            following = response.links.get("next")
            if not following or following in seen:
                return
            seen.add(following)
            response = self.get(following)

    def query(self, text: str, variables: Mapping[str, Any]) -> Any:
        """The `data` of a GraphQL answer. Raises Refused, also for errors that come with status 200."""
        body = {"query": text, "variables": dict(variables)}
        headers = {"Accept": "application/json"}
        for tries in range(LIMIT_TRIES):
            response = self._try("POST", self._requester.graphql_url, headers, body)
            data = response.data if isinstance(response.data, dict) else {}
            errors = data.get("errors")
            if not errors or data.get("data"):
                return data.get("data")
            if not any(isinstance(error, dict) and error.get("type") == "RATE_LIMITED" for error in errors):
                raise Refused(f"GraphQL: {_shown(str(errors))}", 200)
            now = self.waiter.clock.now()
            self.waiter.wait(limit_seconds(response.headers, tries, now), "GitHub's GraphQL limit is used up")
        raise Refused("GraphQL: the limit stays used up.", 200)

    def _try(self, verb: str, url: str, headers: Mapping[str, str], body: Any = None) -> Response:
        limits = faults = 0
        while True:
            failure = ""
            status, data = 0, None
            answered: dict[str, str] = {}
            try:
                status, answered, text = self._requester.requestJson(verb, url, headers=dict(headers), input=body)
                data = json.loads(text) if text and status != 304 else None
            except (RequestException, GithubException, OSError) as error:
                failure = f"{type(error).__name__}"
            except (ValueError, RecursionError):
                failure = "the answer is not JSON" if status < 400 else ""
            finally:
                self._count(verb, status, answered)
            message = str(data.get("message", "")) if isinstance(data, dict) else ""
            if not failure and status < 400:
                return Response(status, answered, data)
            if is_limit(status, answered, message):
                seconds = limit_seconds(answered, limits, self.waiter.clock.now())
                limits += 1
                if limits > LIMIT_TRIES:
                    raise Refused(f"{url}: the server still answers {status} after {LIMIT_TRIES} waits.", status)
                self.waiter.wait(seconds, f"GitHub's limit ({status})")
                continue
            if failure or status >= 500:
                faults += 1
                if faults >= FAULT_TRIES:
                    raise Refused(f"{url}: {failure or f'status {status}'} {faults} times.", status)
                self.waiter.pause(fault_seconds(faults - 1), f"{failure or f'status {status}'} from the server, trying again")
                continue
            raise self._refusal(url, status, message)

    def _refusal(self, url: str, status: int, message: str) -> IngestError:
        said = f" The server says: {_shown(message)}" if message else ""
        if status == 401:
            return NotAllowed(f"{self.base_url}: the token in GITHUB_TOKEN is not accepted (401).{said} Set a valid one, or unset it.")
        return Refused(f"{url}: status {status}.{said}", status)

    def _count(self, verb: str, status: int, headers: Mapping[str, str]) -> None:
        self.usage.requests += 1
        self.usage.unchanged += status == 304
        for name in ("remaining", "limit") if verb == "GET" else ():
            value = headers.get(f"x-ratelimit-{name}", "")
            if value.isdigit():
                setattr(self.usage, name, int(value))

    def _address(self, path: str, parameters: Mapping[str, Any]) -> str:
        if not path.startswith("/"):
            path = self._same_server(path)
        query = urlencode(parameters)
        return f"{path}{'&' if '?' in path else '?'}{query}" if query else path

    def _same_server(self, address: str) -> str:
        """The path and query of `address` below our base address: a token never goes to another host, a port is never lost."""
        parts = urlsplit(address)
        path = parts.path.removeprefix(urlsplit(self.base_url).path)
        return (path if path.startswith("/") else f"/{path}") + (f"?{parts.query}" if parts.query else "")

    def _moved(self, url: str, location: str) -> str:
        target, base = urlsplit(location), urlsplit(self.base_url)
        if target.hostname and target.hostname != base.hostname:
            raise Refused(
                f"{url}: the server redirects to another host, {_shown(target.hostname)}. Set --base-url to it if you trust it.", 301
            )
        moved, query = self._same_server(location), urlsplit(url).query
        return moved if "?" in moved or not query else f"{moved}?{urlencode(parse_qsl(query))}"


def _shown(text: str) -> str:
    """Text of a server as one harmless line."""
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def missing_repository(repo: str, token: str) -> RepositoryMissing:
    """The error for a repository that the server does not show."""
    why = "check the spelling" if token else "check the spelling, or set GITHUB_TOKEN if it is private"
    return RepositoryMissing(f"{repo}: no such repository on this server ({why}).")

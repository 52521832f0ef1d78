"""Plan: what a GitHub ingest will cost before it starts: requests, minutes, disk, estimated from page one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ingest.client import Response, Usage
from ingest.describe import Describer
from ingest.waits import readable

_SECONDS_A_REQUEST = 0.35
_BYTES_A_RECORD = 9_000
_INCLUDED_SHARE = 0.6  # of the pull requests whose title leaves it open, those that their paths include


@dataclass(frozen=True)
class Plan:
    """An estimate. `pull_requests` are closed ones that will be listed, `records` those that will probably be kept."""

    list_requests: int
    detail_requests: int
    pull_requests: int
    records: int
    seconds: float
    disk_bytes: int
    remaining: int | None
    limit: int | None

    @property
    def requests(self) -> int:
        return self.list_requests + self.detail_requests

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "requests": self.requests}

    def line(self) -> str:
        """The plan as one sentence."""
        right = "" if self.limit is None else f", {self.remaining} of {self.limit} requests an hour are left"
        return (
            f"plan: about {self.requests} requests ({self.list_requests} for lists), {readable(self.seconds)}, "
            f"{self.records} records of {self.pull_requests} pull requests, {max(1, self.disk_bytes // 1_000_000)} MB{right}"
        )


def make_plan(first: Response, describer: Describer, pages: int, usage: Usage, *, talk: bool, clone: bool) -> Plan:
    """The plan of a first import, from page one of the list."""
    rows = [item for item in first.data if isinstance(item, dict)] if isinstance(first.data, list) else []
    merged = [str(item.get("title") or "") for item in rows if item.get("merged_at")]
    base = next((str(item["base"]["repo"].get("full_name")) for item in rows if _has_repo(item)), "")
    open_titles = sum(describer.policy.best_possible(base, title).decision == "include" for title in merged)
    scale = pages if rows else 0
    looked_at, records = open_titles * scale, round(open_titles * scale * _INCLUDED_SHARE)
    details = (0 if clone else looked_at) + (2 * records if talk else 0)
    return Plan(
        list_requests=pages,
        detail_requests=details,
        pull_requests=len(rows) * scale,
        records=records,
        seconds=_seconds(pages + details, usage),
        disk_bytes=records * _BYTES_A_RECORD,
        remaining=usage.remaining,
        limit=usage.limit,
    )


def _has_repo(item: dict[str, Any]) -> bool:
    return isinstance(item.get("base"), dict) and isinstance(item["base"].get("repo"), dict)


def _seconds(requests: int, usage: Usage) -> float:
    """How long the requests take: each its time, and an hour for each time that the limit runs out."""
    hours = max(0, requests - (usage.remaining or 0)) // usage.limit if usage.limit else 0
    short = usage.limit is not None and requests > (usage.remaining or 0)
    return requests * _SECONDS_A_REQUEST + 3600.0 * (hours + short)

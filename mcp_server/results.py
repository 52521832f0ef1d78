"""Results: the published shape of every tool's structured answer. Optional keys are left out when there is nothing to say.

Rows declare the keys that programs rely on; the whole list of tools has to stay below 12 KB, so the rest is not published.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """A row: more keys than are declared pass."""

    model_config = ConfigDict(extra="allow")


class Answer(BaseModel):
    """What every answer may carry: that strings are data, and how to go on when rows are left. What is not declared does not pass."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int
    notice: str
    next: str | None = None


class Paged(Answer):
    total: int
    next_offset: int | None = None
    cut: str | None = None


class Place(Shape):
    path: str
    line: int | None = None


class SearchHit(Shape):
    id: str
    kind: Literal["page", "pr"]
    title: str
    url: str
    match: Literal["strong", "fair", "weak"]
    snippet: str
    merged_at: str | None = None
    archs: list[str] | None = None
    reverted_by: list[str] | None = None
    evidence: list[Place] | None = None


class SearchAnswer(Paged):
    query: str
    results: list[SearchHit]
    terms: list[str] | None = None
    suggestions: list[str] | None = None
    notes: list[str] | None = None


class ReadAnswer(Answer):
    id: str
    kind: Literal["page", "pr"]
    title: str
    url: str
    text: str
    total: int
    next_offset: int | None = None
    sections: list[str] | None = None


class TraceLink(Shape):
    kind: str
    name: str
    url: str | None = None
    path: str | None = None
    line: int | None = None
    sha: str | None = None


class TraceAnswer(Paged):
    id: str
    links: list[TraceLink]


class Group(Shape):
    launch: int
    name: str
    launches: int
    duration_ns: float | None = None
    time_share_pct: float
    bound: str


class SummaryAnswer(Paged):
    report: dict[str, Any]
    groups: list[Group]
    notes: list[str] | None = None


class Diagnosed(Shape):
    launch: int
    name: str
    duration_ns: float | None = None
    bound: str
    findings: list[dict[str, Any]]


class DiagnoseAnswer(Paged):
    """Each finding as in ncu_skill/diagnose.schema.json, with `pages` and `prs` of the knowledge base."""

    report: dict[str, Any]
    kernels: list[Diagnosed]


class HotLine(Shape):
    file: str
    line: int
    share_pct: float
    stall: str


class HotspotsAnswer(Paged):
    kernel: dict[str, Any]
    samples: int
    lines: list[HotLine]
    not_collected: list[str] | None = None


class Metric(Shape):
    name: str
    unit: str


class MetricsAnswer(Paged):
    kernel: dict[str, Any]
    metrics: list[Metric]
    note: str | None = None


class TimelineAnswer(Answer):
    """`refused` says why there is no timeline and how to collect one; without it the other keys are there, and scalars beside them."""

    model_config = ConfigDict(extra="allow")

    kernel: dict[str, Any]
    refused: str | None = None
    shape: str | None = None
    why: str | None = None
    phases: list[dict[str, Any]]
    series: list[dict[str, Any]]
    warp_states: list[dict[str, Any]]


class DiffAnswer(Paged):
    """`comparable`: ok, reasons; each kernel: verdict, duration_ns, findings, why."""

    comparable: dict[str, Any]
    kernels: list[dict[str, Any]]
    unmatched: dict[str, Any]
    totals: dict[str, Any] | None = None


class LabAnswer(Answer):
    """The lab's own document for the verb."""

    result: dict[str, Any]

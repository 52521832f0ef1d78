"""NCU tools: summary, diagnosis, hot lines, metrics, timeline and comparison of Nsight Compute reports below the allowed roots."""

from __future__ import annotations

import re
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import Field

from mcp_server import fence
from mcp_server.app import App, progress_of
from mcp_server.budget import Document, Reply, ResponseFormat, call, fitted, given_only, limit_of, page
from mcp_server.results import DiagnoseAnswer, DiffAnswer, HotspotsAnswer, MetricsAnswer, SummaryAnswer, TimelineAnswer
from mcp_server.tooling import explained, make_tool, reply, result

Report = Annotated[str, Field(min_length=1, max_length=4096, description="path of a .ncu-rep")]
Kernel = Annotated[str, Field(max_length=500, description="regex")]
Launch = Annotated[int | None, Field(ge=0)]
Limit = Annotated[int, Field(ge=1, le=50)]
Offset = Annotated[int, Field(ge=0, le=1_000_000)]
MAX_LINES = 300
SHORT_POINTS, LONG_POINTS = 20, 60
REPORT_KEYS = ("device", "compute_capability", "ncu_version", "launches", "clock_control", "sets", "sections")


def ncu_tools(app: App) -> list[Tool]:
    """The tools of the toolset `ncu`."""

    async def ncu_summary(
        report: Report,
        context: Context[Any, Any],
        *,
        kernel: Kernel = "",
        limit: Limit = 20,
        offset: Offset = 0,
        response_format: ResponseFormat = "concise",
    ) -> Annotated[CallToolResult, SummaryAnswer]:
        """What an Nsight Compute report holds: kernels by total time, with launches, time share and what bounds them. Start here."""
        document = await _ask(app, context, "ncu_summary", report, kernel=kernel or None)
        arguments = given_only({"report": report, "kernel": kernel, "limit": limit, "response_format": response_format})
        return result(_summary(document, arguments, limit, offset, response_format))

    async def ncu_diagnose(
        report: Report,
        context: Context[Any, Any],
        *,
        kernel: Kernel = "",
        launch: Launch = None,
        limit: Annotated[int, Field(ge=1, le=20, description="kernels")] = 3,
        offset: Offset = 0,
        response_format: ResponseFormat = "concise",
    ) -> Annotated[CallToolResult, DiagnoseAnswer]:
        """What holds each kernel back: ranked findings (the first is the diagnosis) with evidence, source lines, fixes,
        and the KernelWiki pages and pull requests for that symptom on that chip."""
        most = 5 if response_format == "concise" else 12
        asked = {"kernel": kernel or None, "launch": launch, "top": offset + limit, "max_findings": most}
        document = await _ask(app, context, "ncu_diagnose", report, **asked)
        document["kernels"] = document["kernels"][offset:]
        await _join(app, context, document)
        arguments = given_only({"report": report, "kernel": kernel, "launch": launch, "limit": limit, "response_format": response_format})
        return result(_diagnosis(document, arguments, limit, offset, response_format))

    async def ncu_hotspots(
        report: Report,
        context: Context[Any, Any],
        *,
        kernel: Kernel = "",
        launch: Launch = None,
        limit: Limit = 10,
        offset: Offset = 0,
        response_format: ResponseFormat = "concise",
    ) -> Annotated[CallToolResult, HotspotsAnswer]:
        """Source lines and instructions where warps of one kernel wait, why, and what they wait for."""
        document = await _ask(app, context, "ncu_hotspots", report, kernel=kernel or None, launch=launch, limit=MAX_LINES)
        arguments = given_only({"report": report, "kernel": kernel, "launch": launch, "limit": limit, "response_format": response_format})
        return result(_hotspots(document, arguments, limit, offset, response_format))

    async def ncu_timeline(
        report: Report,
        context: Context[Any, Any],
        *,
        kernel: Kernel = "",
        launch: Launch = None,
        response_format: ResponseFormat = "concise",
    ) -> Annotated[CallToolResult, TimelineAnswer]:
        """How one launch runs over time (PM sampling): ramp, steady and tail phases, unit activity, warp states.
        Refuses reports without enough samples and says how to collect them."""
        points = SHORT_POINTS if response_format == "concise" else LONG_POINTS
        document = await _ask(app, context, "ncu_timeline", report, kernel=kernel or None, launch=launch, points=points)
        return result(_timeline(document, response_format))

    async def ncu_metrics(
        report: Report,
        context: Context[Any, Any],
        *,
        match: Annotated[str, Field(max_length=200, description="glob, e.g. dram__bytes*")] = "*",
        kernel: Kernel = "",
        launch: Launch = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 40,
        offset: Offset = 0,
    ) -> Annotated[CallToolResult, MetricsAnswer]:
        """Raw metrics of one launch by name glob, with units."""
        asked = {"match": match, "kernel": kernel or None, "launch": launch, "limit": limit, "offset": offset}
        document = await _ask(app, context, "ncu_metrics", report, **asked)
        arguments = given_only({"report": report, "match": match, "kernel": kernel, "launch": launch, "limit": limit})
        return result(_metrics(document, arguments, limit, offset))

    async def ncu_diff(
        base: Report,
        candidate: Report,
        context: Context[Any, Any],
        *,
        kernel: Kernel = "",
        limit: Annotated[int, Field(ge=1, le=20)] = 3,
        offset: Offset = 0,
        response_format: ResponseFormat = "concise",
    ) -> Annotated[CallToolResult, DiffAnswer]:
        """What changed between two reports: verdict with noise interval, findings resolved and new, why, lines, opcodes.
        Says when they are not comparable."""
        otherwise = call("ncu_summary", report=base)
        async with explained("ncu_diff", nearest_call=lambda name: call("ncu_diff", base=base, candidate=name), otherwise=otherwise):
            paths = {"base": str(await app.report(base, context)), "candidate": str(await app.report(candidate, context))}
            document = fence.data(await app.ncu("ncu_diff", {**paths, "kernel": kernel or None, "top": offset + limit}, context))
        arguments = given_only({"base": base, "candidate": candidate, "kernel": kernel, "limit": limit, "response_format": response_format})
        return result(_diff(document, arguments, limit, offset, response_format))

    return [make_tool(tool) for tool in (ncu_summary, ncu_diagnose, ncu_hotspots, ncu_timeline, ncu_diff, ncu_metrics)]


async def _ask(app: App, context: Context[Any, Any], tool: str, report: str, **asked: Any) -> Document:
    """The facade's document for one report, its strings cleaned. Errors become ToolError."""
    otherwise = call("ncu_summary", report=report) if tool != "ncu_summary" else ""

    def nearest(name: str) -> str:
        return call(tool, report=name) if name.endswith((".ncu-rep", ".ncu-repz")) else call(tool, report=report, kernel=_exactly(name))

    async with explained(tool, nearest_call=nearest, otherwise=otherwise):
        path = await app.report(report, context)
        document: Document = fence.data(await app.ncu(tool, {"report": str(path), **asked}, context))
    return document


def _exactly(name: str) -> str:
    """A pattern for the kernel of this name: its first identifier, which needs no escaping."""
    found = re.search(r"\w{3,}", name)
    return found.group(0) if found else ""


def _about(document: Document, response_format: ResponseFormat) -> Document:
    about: Document = document["report"]
    return about if response_format == "detailed" else {key: about[key] for key in REPORT_KEYS[:4] if key in about}


def _summary(document: Document, arguments: Document, limit: int, offset: int, response_format: ResponseFormat) -> Reply:
    from ncu_skill import render

    rows = document["groups"][offset : offset + limit]
    hidden = {"workload", "prepares_data", "total_ns"} if response_format == "concise" else set()

    def make(count: int) -> Reply:
        groups = [{key: value for key, value in row.items() if key not in hidden} for row in rows[:count]]
        pages = page("ncu_summary", arguments, len(document["groups"]), offset=offset, shown=count, asked=limit)
        found = {"report": _about(document, response_format), "groups": groups, "notes": document["notes"] or None, **pages}
        return reply(found, render.summary({**document, "groups": rows[:count]}))

    return fitted(len(rows), make, limit_of(response_format))


async def _join(app: App, context: Context[Any, Any], document: Document) -> None:
    """Adds `pages` and `prs` of the knowledge base to every finding; without an index the diagnosis stands alone."""
    capability = document["report"]["compute_capability"]
    findings = [finding for kernel in document["kernels"] for finding in kernel["findings"]]

    def look(wiki: Any) -> None:
        from mcp_server.join import arch_of, related

        arch = arch_of(wiki, capability)
        known: dict[str, Document] = {}
        for finding in findings:
            if finding["id"] not in known:
                known[finding["id"]] = related(wiki, finding, arch)
            finding.update(known[finding["id"]])

    async with explained("ncu_diagnose"):
        await app.knowledge.ask(look, progress_of(context))


def _diagnosis(document: Document, arguments: Document, limit: int, offset: int, response_format: ResponseFormat) -> Reply:
    """Findings in order; whole findings are left out from the end until the answer fits."""
    from ncu_skill import render

    kernels, total = document["kernels"], offset + len(document["kernels"]) + document["report"].get("kernels_left_out", 0)
    places = [(row, number) for row, kernel in enumerate(kernels) for number in range(max(1, len(kernel["findings"])))]

    def make(count: int) -> Reply:
        last, number = places[count - 1] if places else (-1, 0)
        shown = kernels[: last + 1]
        whole = last < 0 or number + 1 >= len(kernels[last]["findings"])
        if not whole:
            shown = [*shown[:-1], {**kernels[last], "findings": kernels[last]["findings"][: number + 1]}]
        pages = page(
            "ncu_diagnose", arguments, total, offset=offset, shown=len(shown) if whole or len(shown) < 2 else len(shown) - 1, asked=limit
        )
        if not whole and len(shown) == 1:
            pages["next"] = call("ncu_diagnose", **{**arguments, "launch": shown[0]["launch"], "response_format": "detailed"})
            pages["cut"] = f"{number + 1} of {len(kernels[0]['findings'])} findings fit the size limit"
        found = {"report": _about(document, response_format), "kernels": [_kernel(kernel, response_format) for kernel in shown], **pages}
        text = render.diagnosis({"report": {**document["report"], "kernels_left_out": 0}, "kernels": shown})
        return reply(found, "\n".join([text, *_further(shown)]))

    return fitted(len(places), make, limit_of(response_format))


def _kernel(kernel: Document, response_format: ResponseFormat) -> Document:
    detailed = response_format == "detailed"
    row = {key: kernel[key] for key in ("launch", "name", "launches", "duration_ns", "time_share_pct", "bound", "grid", "block")}
    row["findings"] = [finding if detailed else _short(finding) for finding in kernel["findings"]]
    if kernel["not_collected"]:
        row["not_collected"] = kernel["not_collected"]
    return row


def _short(finding: Document) -> Document:
    """The diagnosis with its main evidence, the others in a few words."""
    first = finding["rank"] == 1
    keep = 4 if first else 2
    row = {key: finding[key] for key in ("id", "title", "rank", "confidence", "estimated_speedup")}
    row["evidence"] = finding["evidence"][:keep]
    row["locations"] = [{key: value for key, value in place.items() if key != "pc"} for place in finding["locations"][: keep // 2]]
    row["fixes"] = finding["fixes"][: keep // 2 + 1]
    if first:
        row["falsifier"] = finding["falsifier"]
    for key in ("pages", "prs"):
        if finding.get(key):
            row[key] = [{"id": item["id"], "title": item["title"][:90]} for item in finding[key][: keep // 2]]
    return row


def _further(kernels: list[Document]) -> list[str]:
    """What to read about each finding, once."""
    rows = {}
    for finding in (finding for kernel in kernels for finding in kernel["findings"]):
        found = [f"{item['id']} ({item['title']})" for item in [*finding.get("pages", [])[:2], *finding.get("prs", [])[:2]]]
        if found:
            rows[finding["id"]] = f"read about {finding['id']}: {'; '.join(found)}"
    return list(rows.values())


def _hotspots(document: Document, arguments: Document, limit: int, offset: int, response_format: ResponseFormat) -> Reply:
    from ncu_skill import render

    rows = document["lines"][offset : offset + limit]

    def make(count: int) -> Reply:
        pages = page("ncu_hotspots", arguments, len(document["lines"]), offset=offset, shown=count, asked=limit)
        missing = document["not_collected"] or None
        found = {
            "kernel": document["kernel"],
            "samples": document["samples"],
            "lines": [_line(row, response_format) for row in rows[:count]],
            "not_collected": missing,
            **pages,
        }
        return reply(found, render.hotspots({**document, "lines": rows[:count]}))

    return fitted(len(rows), make, limit_of(response_format))


def _line(row: Document, response_format: ResponseFormat) -> Document:
    if response_format == "detailed":
        return row
    short = {key: row[key] for key in ("file", "line", "share_pct", "stall", "opcode", "text")}
    short["producers"] = [{key: item[key] for key in ("file", "line", "opcode")} for item in row["producers"]]
    return short


def _timeline(document: Document, response_format: ResponseFormat) -> Reply:
    """Series by their mean, as many as fit; concise leaves out idle ones and the course of the warp states."""
    from ncu_skill.render_timeline import timeline

    concise = response_format == "concise"
    series = [row for row in document["series"] if not concise or (row["unit"].startswith("%") and row["mean"] >= 1)]

    def make(count: int) -> Reply:
        states = document["warp_states"][:5] if concise else document["warp_states"]
        found = {key: value for key, value in document.items() if key not in {"schema_version", "series", "warp_states", "phases"}}
        found["phases"] = [{key: value for key, value in row.items() if not concise or key != "meaning"} for row in document["phases"]]
        found["series"] = [{**row, "values": [round(value, 1) for value in row["values"]]} for row in series[:count]]
        found["warp_states"] = [{"state": row["state"], "mean": row["mean"]} if concise else row for row in states]
        found["cut"] = f"{count} of {len(series)} series fit the size limit" if count < len(series) else None
        return reply(found, timeline({**document, "series": series[:count]}))

    return fitted(len(series), make, limit_of(response_format))


def _metrics(document: Document, arguments: Document, limit: int, offset: int) -> Reply:
    from ncu_skill import render

    rows = document["metrics"]

    def make(count: int) -> Reply:
        pages = page("ncu_metrics", arguments, document["total"], offset=offset, shown=count, asked=limit)
        found = {"kernel": document["kernel"], "metrics": rows[:count], "note": document["note"] or None, **pages}
        return reply(found, render.metrics({**document, "metrics": rows[:count]}))

    return fitted(len(rows), make, limit_of("concise"))


def _diff(document: Document, arguments: Document, limit: int, offset: int, response_format: ResponseFormat) -> Reply:
    from ncu_skill.render_compare import comparison

    rows = document["kernels"][offset:]
    total = len(document["kernels"]) + document["pairs_left_out"]

    def make(count: int) -> Reply:
        kernels = [row if response_format == "detailed" else _short_pair(row) for row in rows[:count]]
        found = {
            "comparable": document["comparable"],
            "kernels": kernels,
            "unmatched": {side: lonely[:5] for side, lonely in document["unmatched"].items()},
            "totals": document["total"],
            **page("ncu_diff", arguments, total, offset=offset, shown=count, asked=limit),
        }
        return reply(found, comparison({**document, "kernels": rows[:count]}))

    return fitted(len(rows), make, limit_of(response_format))


def _short_pair(row: Document) -> Document:
    """A pair's verdict and its causes, without the metrics that did not change."""
    keys = ("name", "base_launch", "candidate_launch", "duration_ns", "interval", "verdict", "cautions", "findings")
    short = {key: row[key] for key in keys}
    short["why"] = [{key: item[key] for key in ("meaning", "base", "candidate", "unit", "better")} for item in row["why"][:8]]
    short["lines"] = [
        {key: item[key] for key in ("file", "line", "status", "base_share_pct", "candidate_share_pct", "text")} for item in row["lines"][:4]
    ]
    short["opcodes"] = row["opcodes"][:6]
    return short

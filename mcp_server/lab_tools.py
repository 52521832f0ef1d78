"""Lab tools: status, compile, score, verify, record, promote and audit of the one workspace that the server was started with."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import Field

from mcp_server import fence
from mcp_server.app import App
from mcp_server.budget import Document, Reply, call, limit_of
from mcp_server.results import LabAnswer
from mcp_server.tooling import explained, make_tool, reply, result

Candidate = Annotated[str, Field(min_length=1, max_length=4096, description="id or path of a packed solution.json")]
Words = Annotated[str, Field(max_length=2000)]
LIST_ROWS = (200, 40, 20, 10, 5, 2, 0)
RENDERERS = {
    "lab_status": "status",
    "lab_compile": "compiled",
    "lab_score": "scored",
    "lab_verify": "verdict",
    "lab_promote": "promoted",
    "lab_audit": "audited",
}
NEXT = {"lab_compile": "lab_verify", "lab_score": "lab_verify", "lab_verify": "lab_promote"}


def lab_tools(app: App) -> list[Tool]:
    """The tools of the toolset `lab`. Tolerances, baseline, workloads and timer come from the workspace's lock; no tool takes them."""

    async def lab_status(context: Context[Any, Any]) -> Annotated[CallToolResult, LabAnswer]:
        """The workspace: contract, candidates, incumbent, last verdict, ledger, and what to do next."""
        return await _run(app, context, "lab_status", {})

    async def lab_compile(candidate: Candidate, context: Context[Any, Any]) -> Annotated[CallToolResult, LabAnswer]:
        """Compile a candidate: registers, spills, instruction paths, compiler messages."""
        return await _run(app, context, "lab_compile", {"candidate": candidate})

    async def lab_score(candidate: Candidate, context: Context[Any, Any]) -> Annotated[CallToolResult, LabAnswer]:
        """Time a candidate on the contract's workloads against baseline and reference. Minutes."""
        return await _run(app, context, "lab_score", {"candidate": candidate})

    async def lab_verify(candidate: Candidate, context: Context[Any, Any]) -> Annotated[CallToolResult, LabAnswer]:
        """Judge a candidate by every gate of the contract: pass, fail or review, with evidence. Minutes."""
        return await _run(app, context, "lab_verify", {"candidate": candidate})

    async def lab_record(
        candidate: Candidate, context: Context[Any, Any], note: Words = "", lesson: Words = "", parent: Words = ""
    ) -> Annotated[CallToolResult, LabAnswer]:
        """Write into the ledger what was tried and what it taught, also when it failed."""
        asked = {"candidate": candidate, "note": note, "lesson": lesson, "parent": parent or None}
        return await _run(app, context, "lab_record", asked)

    async def lab_promote(candidate: Candidate, context: Context[Any, Any]) -> Annotated[CallToolResult, LabAnswer]:
        """Make a verified candidate the incumbent; refused without a passing verdict."""
        return await _run(app, context, "lab_promote", {"candidate": candidate})

    async def lab_audit(context: Context[Any, Any]) -> Annotated[CallToolResult, LabAnswer]:
        """Check the ledger's hash chain and everything it binds."""
        return await _run(app, context, "lab_audit", {})

    writing = (lab_compile, lab_score, lab_verify, lab_record, lab_promote)
    return [
        make_tool(tool, read_only=tool not in writing, idempotent=tool is not lab_record)
        for tool in (lab_status, lab_compile, lab_score, lab_verify, lab_record, lab_promote, lab_audit)
    ]


async def _run(app: App, context: Context[Any, Any], tool: str, asked: Document) -> CallToolResult:
    """One verb of the lab; its document as it is, with long lists cut."""
    given = asked.get("candidate", "")
    otherwise = call("lab_status") if tool != "lab_status" else ""
    async with explained(tool, nearest_call=lambda name: call(tool, candidate=name), otherwise=otherwise):
        if given:
            asked = {**asked, "candidate": await app.candidate(given)}
        document: Document = fence.data(await app.lab(tool, asked, context))
    following = call(NEXT[tool], candidate=given) if tool in NEXT and _went_well(document) else None
    return result(_fitting(tool, document, following))


def _went_well(document: Document) -> bool:
    return document.get("ok") is not False and document.get("verdict", "pass") == "pass" and document.get("complete") is not False


def _fitting(tool: str, document: Document, following: str | None) -> Reply:
    """The document with its longest lists cut until it fits."""
    from kernel_lab import render

    renderer = getattr(render, RENDERERS.get(tool, "plain"))
    for keep in LIST_ROWS:
        short, left_out = _cut_lists(document, keep)
        cut = f"{left_out} rows of long lists left out" if left_out else None
        found = {key: value for key, value in short.items() if key != "schema_version"}
        answer = reply({"result": found, "next": following, "cut": cut}, renderer(short))
        if answer.size <= limit_of("concise"):
            break
    return answer


def _cut_lists(value: Any, keep: int) -> tuple[Any, int]:
    """`value` with no list longer than `keep`, and how many rows that left out."""
    if isinstance(value, dict):
        pairs = {key: _cut_lists(item, keep) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(value, list):
        rows = [_cut_lists(item, keep) for item in value[:keep]]
        return [item for item, _ in rows], max(0, len(value) - keep) + sum(count for _, count in rows)
    return value, 0

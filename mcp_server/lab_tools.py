"""Lab tools: status, compile, score, verify, record, promote and audit of the one workspace that the server was started with."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import Field

from mcp_server import fence
from mcp_server.app import App
from mcp_server.budget import Document, Reply, call, compact_json, limit_of
from mcp_server.results import LabAnswer
from mcp_server.tooling import explained, make_tool, reply, result

Candidate = Annotated[str, Field(min_length=1, max_length=4096, description="id or path of a packed solution.json")]
Words = Annotated[str, Field(max_length=2000)]
MAX_LIST = 40
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
    found = {key: value for key, value in document.items() if key != "schema_version"}
    following = call(NEXT[tool], candidate=given) if tool in NEXT and _went_well(document) else None
    return result(_fitting(found, following))


def _went_well(document: Document) -> bool:
    return document.get("ok") is not False and document.get("verdict", "pass") == "pass"


def _fitting(document: Document, following: str | None) -> Reply:
    """The document with its longest lists cut until it fits."""
    limit = limit_of("concise")
    for keep in (MAX_LIST, 20, 10, 5, 2):
        short = _cut_lists(document, keep)
        answer = reply({"result": short, "next": following}, "\n".join(_lines(short)))
        if answer.size <= limit:
            break
    return answer


def _cut_lists(value: Any, keep: int) -> Any:
    if isinstance(value, dict):
        return {key: _cut_lists(item, keep) for key, item in value.items()}
    if isinstance(value, list):
        rest = [f"… {len(value) - keep} more"] if len(value) > keep else []
        return [_cut_lists(item, keep) for item in value[:keep]] + rest
    return value


def _lines(document: Document) -> list[str]:
    """One line a key; rows of a list below it."""
    rows = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            rows.append(f"{key}:")
            rows += [f"  {item if isinstance(item, str) else compact_json(item)}" for item in value]
        else:
            rows.append(f"{key}: {value if isinstance(value, str) else compact_json(value)}")
    return rows

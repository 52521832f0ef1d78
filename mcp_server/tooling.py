"""Tooling: what every tool has in common: compact schemas, annotations, results with text and data, errors with the next call."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, TextContent, ToolAnnotations

from kernelwiki.errors import KernelWikiError
from mcp_server import fence
from mcp_server.app import nearest_of
from mcp_server.budget import Document, Reply
from mcp_server.errors import ServerError

# What costs characters and tells a model nothing: the server checks lengths itself and says what is wrong.
_DROPPED = {"title", "default", "additionalProperties", "minLength", "maxLength", "minimum"}
SCHEMA_VERSION = 1
_COMMON = {"schema_version", "notice", "cut"}  # in every answer; sixteen times in the list of tools they would cost 1.6 KB
_ROW_DEPTH = 2  # rows of an answer are published with their keys, what is inside a row's objects is not


def make_tool(function: Callable[..., Any], *, read_only: bool = True, idempotent: bool = True) -> Tool:
    """A tool of `function`: its name, docstring, arguments and result model, with hints for the client."""
    tool = Tool.from_function(
        function,
        description=inspect.cleandoc(function.__doc__ or ""),
        annotations=ToolAnnotations(
            read_only_hint=read_only,
            destructive_hint=None if read_only else False,
            idempotent_hint=None if read_only else idempotent,
            open_world_hint=False,
        ),
    )
    tool.parameters = {**compact(tool.parameters), "additionalProperties": False}
    tool.fn_metadata.output_schema = compact(tool.fn_metadata.output_schema or {})
    return tool


def compact(schema: Document) -> Document:
    """A JSON schema without what a model does not need: titles, null alternatives, references, details below the rows of an answer."""
    definitions = schema.get("$defs", {})

    def short(part: Document, depth: int) -> Document:
        if "$ref" in part:
            return short(definitions[part["$ref"].rsplit("/", 1)[1]], depth)
        real = [item for item in part.get("anyOf", ()) if item != {"type": "null"}]
        if len(real) == 1:
            return short({**real[0], **{key: value for key, value in part.items() if key not in {"anyOf", "default"}}}, depth)
        kept = {key: value for key, value in part.items() if key not in _DROPPED and key != "$defs"}
        if "enum" in kept:
            kept.pop("type", None)
        if part.get("default") not in (None, "", 0):
            kept["default"] = part["default"]
        if "items" in kept:
            kept["items"] = short(kept["items"], depth)
        if "properties" in kept:
            return _object(kept, depth)
        return kept

    def _object(part: Document, depth: int) -> Document:
        if depth >= _ROW_DEPTH:
            return {"type": "object"}
        found = {"type": "object", "properties": {name: short(item, depth + 1) for name, item in part["properties"].items()}}
        return {**found, "required": part["required"]} if depth == 0 and part.get("required") else found

    found = short(schema, 0)
    found["properties"] = {name: item for name, item in found["properties"].items() if name not in _COMMON}
    if "required" in found:
        found["required"] = [name for name in found["required"] if name not in _COMMON]
    return found


def result(reply: Reply) -> CallToolResult:
    """A reply as both halves of a tool result."""
    return CallToolResult(content=[TextContent(type="text", text=reply.text)], structured_content=reply.data)


def reply(document: Document, text: str) -> Reply:
    """A reply whose data starts with the notice and whose text is fenced; `next` and `cut` of the document follow the text."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "notice": fence.NOTICE,
        **{key: fence.finite(value) for key, value in document.items() if value is not None},
    }
    after = [f"{key}: {document[key]}" for key in ("cut", "next") if document.get(key)]
    return Reply(data, "\n".join([fence.NOTICE, fence.fenced(fence.lines(text)), *after]))


@asynccontextmanager
async def explained(tool: str, *, nearest_call: Callable[[str], str] | None = None, otherwise: str = "") -> AsyncIterator[None]:
    """Turns the errors of our packages into a ToolError: the message as quoted data, nearest ids, and the next call."""
    try:
        yield
    except (ServerError, KernelWikiError) as error:
        names = [fence.line(name, 120) for name in nearest_of(error)][:5]
        parts = [f"{tool} failed: {fence.quoted(error)}"]
        if names:
            parts.append(f"Nearest: {', '.join(fence.quoted(name, 120) for name in names)}.")
        following = nearest_call(names[0]) if names and nearest_call else otherwise
        if following:
            parts.append(f"Next: {following}")
        raise ToolError("\n".join(parts)) from None

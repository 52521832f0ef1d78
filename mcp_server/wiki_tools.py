"""Wiki tools: kwiki_search, kwiki_read and kwiki_trace, each one call of the knowledge base and one of the command line's renderers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from pydantic import Field

from mcp_server import fence
from mcp_server.app import App, progress_of
from mcp_server.budget import Document, Reply, ResponseFormat, call, fitted, given_only, limit_of, page
from mcp_server.results import ReadAnswer, SearchAnswer, TraceAnswer
from mcp_server.tooling import explained, make_tool, reply, result

if TYPE_CHECKING:
    from kernelwiki.model import Answer, Hit
    from kernelwiki.wiki import Wiki

Several = Annotated[str, Field(max_length=300)]
Query = Annotated[str, Field(min_length=1, max_length=2000, description="words, API names, a symptom, an id, a finding id")]
Id = Annotated[str, Field(min_length=1, max_length=300, description="hardware/tcgen05, hardware/tcgen05#pitfalls or cutlass#2472")]
Limit = Annotated[int, Field(ge=1, le=50)]
Offset = Annotated[int, Field(ge=0, le=1_000_000)]


def wiki_tools(app: App) -> list[Tool]:
    """The tools of the toolset `wiki`."""

    async def kwiki_search(
        query: Query,
        context: Context[Any, Any],
        *,
        kind: Literal["any", "page", "pr"] = "any",
        repo: Annotated[Several, Field(description="cutlass,vllm")] = "",
        arch: Annotated[Several, Field(description="sm90,sm100")] = "",
        tag: Several = "",
        since: Annotated[str, Field(max_length=40, description="2025-06")] = "",
        uses: Annotated[str, Field(max_length=200, description="name in an added line: tcgen05.mma, tma_*")] = "",
        sort: Literal["relevance", "oldest", "newest"] = "relevance",
        limit: Limit = 8,
        offset: Offset = 0,
        response_format: ResponseFormat = "concise",
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Search GPU kernel pages and merged pull requests (CUTLASS, DeepGEMM, FlashInfer, FlashAttention, FlashMLA, ThunderKittens,
        vLLM, SGLang) by words, API name, symptom, or finding id of ncu_diagnose.
        Good: "tcgen05 TMEM epilogue", "tail-effect". Bad: "make it fast". First use of a name: uses and sort=oldest."""
        plain = {"kind": kind, "since": since, "uses": uses, "sort": sort}
        several = {"repo": repo, "arch": arch, "tag": tag}
        arguments = given_only({"query": query, **plain, **several, "limit": limit, "response_format": response_format})
        filters: Document = {**plain, **{name: _several(value) for name, value in several.items()}}
        async with explained("kwiki_search", otherwise=call("kwiki_search", query=query[:200])):
            answer = await app.knowledge.ask(lambda wiki: wiki.answer(query, limit=limit, offset=offset, **filters), progress_of(context))
        return result(_searched(answer, arguments, limit, offset, response_format))

    async def kwiki_read(
        id: Id, context: Context[Any, Any], offset: Offset = 0, response_format: ResponseFormat = "concise"
    ) -> Annotated[CallToolResult, ReadAnswer]:
        """Read a page, one section (page#section) or a pull request's facts by id. detailed adds sources, every file and line.
        offset counts characters."""
        otherwise = call("kwiki_search", query=id[:200])
        async with explained("kwiki_read", nearest_call=lambda name: call("kwiki_read", id=name), otherwise=otherwise):
            item = await app.knowledge.ask(lambda wiki: _item(wiki, id, response_format == "detailed"), progress_of(context))
        return result(_read(item, id, offset, response_format))

    async def kwiki_trace(
        id: Id, context: Context[Any, Any], limit: Limit = 20, offset: Offset = 0
    ) -> Annotated[CallToolResult, TraceAnswer]:
        """Where a page's or pull request's claims come from: links to pull request, merge SHA, file and line."""
        otherwise = call("kwiki_search", query=id[:200])
        async with explained("kwiki_trace", nearest_call=lambda name: call("kwiki_trace", id=name), otherwise=otherwise):
            links = await app.knowledge.ask(lambda wiki: _links(wiki, id), progress_of(context))
        return result(_traced(links, id, limit, offset))

    return [make_tool(kwiki_search), make_tool(kwiki_read), make_tool(kwiki_trace)]


def _several(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _searched(answer: Answer, arguments: Document, limit: int, offset: int, response_format: ResponseFormat) -> Reply:
    from kernelwiki.render import answer_text

    def make(count: int) -> Reply:
        shown = replace(answer, hits=answer.hits[:count])
        document = {
            "query": fence.line(answer.query),
            "results": [hit_row(hit, response_format) for hit in shown.hits],
            "terms": list(answer.terms)[:12] or None,
            "suggestions": list(answer.suggestions) or None,
            "notes": fence.data(list(answer.notes)) or None,
            **page("kwiki_search", arguments, answer.total, offset=offset, shown=len(shown.hits), asked=limit),
        }
        return reply(document, answer_text(shown))

    return fitted(len(answer.hits), make, limit_of(response_format))


def hit_row(hit: Hit, response_format: ResponseFormat) -> Document:
    """One hit; concise leaves out the score, the tags and the addresses of evidence."""
    from kernelwiki.render import hit_json

    row = hit_json(hit)
    keys = ["id", "kind", "title", "url", "match", "snippet", "archs", "reverted_by"]
    places = row["evidence"]
    if response_format == "detailed":
        keys += ["score", "tags", "merged_at"]
    else:
        places = [{key: place[key] for key in ("path", "line", "text") if key in place} for place in places[:2]]
    found = {key: row[key] for key in keys if row.get(key)} | {"snippet": row["snippet"]}
    if hit.merged_at:
        found["merged_at"] = hit.merged_at[:10]
    cleaned: Document = fence.data(found | ({"evidence": places} if places else {}))
    return cleaned


def _item(wiki: Wiki, wanted: str, sources: bool) -> Document:
    """A page or pull request: what it is, and the text that the command line shows."""
    from kernelwiki.show import PageItem, show_item

    item = show_item(wiki, wanted)
    text = fence.lines(item.text(sources))
    if isinstance(item, PageItem):
        sections = [part.slug for part in item.page.sections]
        url = f"kwiki://page/{item.page.id}"
        return {"id": item.page.id, "kind": "page", "title": item.page.title, "url": url, "text": text, "sections": sections}
    record = item.record
    return {"id": record.id, "kind": "pr", "title": record.title, "url": record.url, "text": text}


def _read(item: Document, wanted: str, offset: int, response_format: ResponseFormat) -> Reply:
    """The item's text from character `offset` on, cut at a line's end where it can be."""
    whole = item["text"]
    arguments = given_only({"id": wanted, "response_format": response_format})

    def make(count: int) -> Reply:
        end = offset + count
        if end < len(whole):
            end = max(whole.rfind("\n", offset + count // 2, end) + 1, 0) or end
        more = end < len(whole)
        document = {
            **{key: fence.line(item[key]) for key in ("id", "kind", "title", "url")},
            "total": len(whole),
            "next_offset": end if more else None,
            "next": call("kwiki_read", **arguments, offset=end) if more else None,
            "sections": item.get("sections"),
        }
        part = whole[offset:end]
        return reply({**document, "text": fence.fenced(part)}, part)

    return fitted(max(len(whole) - offset, 0), make, limit_of(response_format))


def _links(wiki: Wiki, wanted: str) -> list[Any]:
    from kernelwiki.trace import trace

    return trace(wiki, wanted)


def _traced(links: Sequence[Any], wanted: str, limit: int, offset: int) -> Reply:
    from kernelwiki.render import links_text

    rows = links[offset : offset + limit]

    def make(count: int) -> Reply:
        found = [{key: value for key, value in fence.data(asdict(link)).items() if value not in ("", None)} for link in rows[:count]]
        pages = page("kwiki_trace", {"id": wanted, "limit": limit}, len(links), offset=offset, shown=count, asked=limit)
        return reply({"id": fence.line(wanted), "links": found, **pages}, links_text(rows[:count]))

    return fitted(len(rows), make, limit_of("concise"))

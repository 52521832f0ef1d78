"""Render: what commands print. Text for people, one JSON document for programs; control characters never pass."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelwiki.model import Answer, Hit, Locator, Page, Record, Source
from kernelwiki.reading.pages import without_citations

if TYPE_CHECKING:
    from kernelwiki.trace import Link

SCHEMA_VERSION = 1
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: str) -> str:
    """One line without control, direction, invisible and tag characters: titles and names come from strangers."""
    return _CONTROL.sub("", re.sub(r"[\t\n\r\x0b\x0c]+", " ", text))


def clean_lines(text: str) -> str:
    """The same for text of several lines, which stay."""
    return "\n".join(clean(line) for line in text.split("\n"))


def clean_data(data: Any) -> Any:
    """Every string inside `data`, cleaned."""
    if isinstance(data, str):
        return clean_lines(data)
    if isinstance(data, Mapping):
        return {clean(str(key)): clean_data(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [clean_data(value) for value in data]
    return data


def to_json(data: Mapping[str, Any]) -> str:
    """One JSON document with `schema_version` first; strings are cleaned."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **clean_data(data)}, ensure_ascii=False, indent=2)


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer in the shape of the public contract."""
    return {
        "query": answer.query,
        "total": answer.total,
        "results": [hit_json(hit) for hit in answer.hits],
        "terms": list(answer.terms),
        "suggestions": list(answer.suggestions),
        "notes": list(answer.notes),
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    """One hit; `repo`, `number` and `merged_at` only for pull requests, `reverted_by` only where it was, `line` and `text` where known."""
    data = {key: value for key, value in vars(hit).items() if value is not None and (value or key != "reverted_by")}
    return data | {"evidence": [locator_json(item) for item in hit.evidence]}


def locator_json(item: Locator) -> dict[str, Any]:
    return {key: value for key, value in vars(item).items() if value is not None}


def answer_text(answer: Answer) -> str:
    """An answer as text: one block a hit."""
    if not answer.hits and answer.total:
        return f"0 of {answer.total} shown: --limit or --offset leaves none."
    if not answer.hits:
        lines = [f"No match for {clean(answer.query)[:200]!r}."]
        if answer.suggestions:
            lines.append(f"Near terms: {', '.join(answer.suggestions)}")
        return "\n".join(lines)
    blocks = [hit_text(hit) for hit in answer.hits]
    return "\n\n".join(blocks) + f"\n\n{len(answer.hits)} of {answer.total} shown."


def hit_text(hit: Hit) -> str:
    date = f" · {hit.merged_at[:10]}" if hit.merged_at else ""
    archs = f" · {' '.join(hit.archs)}" if hit.archs else ""
    undone = f" · reverted by {' '.join(hit.reverted_by)}" if hit.reverted_by else ""
    lines = [f"{hit.id} · {hit.match}{date}{archs}{undone}", f"  {clean(hit.title)}", f"  {clean(hit.snippet)}"]
    lines += [f"  {clean(item.text or '')} {clean(item.url)}".rstrip() for item in hit.evidence[:2] if item.line]
    lines.append(f"  {clean(hit.url)}")
    return "\n".join(lines)


def page_text(page: Page, section: str = "", sources: bool = False, merged: Mapping[str, str] | None = None) -> str:
    """A page, or one of its sections, without citation marks but with the documents and pull requests it rests on, and when these merged.

    With `sources` the marks stay, and each has its locator. `merged` maps pull requests to dates.
    """
    parts = [f"# {page.title}", f"{page.id} · {' '.join(page.archs) or 'every architecture'} · {page.confidence}"]
    chosen = [part for part in page.sections if not section or part.slug == section]
    parts += [f"## {part.heading}\n\n{part.text if sources else without_citations(part.text)}" for part in chosen]
    keys = {key for part in chosen for key in part.citations}
    cited = [item for item in page.sources if item.key in keys]
    if sources:
        parts.append("## Sources\n\n" + "\n".join(f"[^{item.key}] {source_text(item, merged)}" for item in cited))
    elif cited:
        parts.append(_cited_line(cited, merged or {}))
    return "\n\n".join(parts)


def _cited_line(cited: Sequence[Source], merged: Mapping[str, str]) -> str:
    documents = dict.fromkeys(item.title for item in cited if item.kind == "doc")
    pulls = dict.fromkeys(_dated(item.id, merged) for item in cited if item.kind in ("pr", "evidence"))
    note = " A pull request is told as it was on the day it merged." if pulls else ""
    return f"Rests on: {'; '.join([*documents, ', '.join(pulls)] if pulls else documents) or 'own runs'}.{note}"


def _dated(pull: str, merged: Mapping[str, str] | None) -> str:
    return f"{pull} ({merged[pull]})" if merged and pull in merged else pull


def source_text(source: Source, merged: Mapping[str, str] | None = None) -> str:
    """What a citation stands for, on one line."""
    if source.kind == "doc":
        return f"{source.title} {source.url}".rstrip()
    if source.kind == "evidence":
        return f"{_dated(source.id, merged)} {source.path}:{source.line} @ {source.sha[:12]}"
    return {
        "snippet": source.title or "the code of this page",
        "vocabulary": f"vocabulary term {source.id}",
        "pr": _dated(source.id, merged),
    }.get(source.kind, f"{source.kind} {source.id}")


def record_text(record: Record, sources: bool = False, reverted_by: Sequence[str] = ()) -> str:
    """A pull request's facts. Its title is quoted: it is a stranger's text."""
    lines = [
        f"{record.id} · merged {record.merged_at[:10]} · {record.merge_sha[:12]}",
        f'  title: "{clean(record.title)}"',
        f"  {record.url}",
    ]
    lines += [f"  reverted by {' and '.join(reverted_by)}"] * bool(reverted_by)
    if record.summary:
        lines.append(f"  {record.summary}")
    lines.append(f"  changed {len(record.files)} files:")
    shown = record.files if sources else record.files[:8]
    lines += [f"    {clean(file.path)} +{file.additions or 0} -{file.deletions or 0}" for file in shown]
    if len(shown) < len(record.files):
        lines.append(f"    … {len(record.files) - len(shown)} more (--sources shows all)")
    kinds: dict[str, list[str]] = {}
    for item in record.evidence:
        kinds.setdefault(item.kind, []).append(f"{item.name} ({item.path}:{item.line})" if sources and item.line else item.name)
    lines += [f"  {kind}: {clean(', '.join(names if sources else names[:10]))}" for kind, names in kinds.items()]
    return "\n".join([*lines, *(_own_text(record) if sources else [])])


def _own_text(record: Record) -> list[str]:
    """Description and discussion, which only a user's own records hold; every line is marked as quoted."""
    parts = [("description", record.body), *(("comment", comment) for comment in record.discussion)]
    return [row for name, text in parts if text for row in (f"  {name}:", *(f"    | {line}" for line in clean_lines(text).splitlines()))]


def links_text(links: Sequence[Link], limit: int = 0) -> str:
    """A chain as text, one link a line."""
    rows = []
    for link in links[: limit or None]:
        place = f" {clean(link.path)}:{link.line}" if link.line else f" {clean(link.path)}" if link.path else ""
        sha = f" @ {link.sha[:12]}" if link.sha and link.path else ""
        rows.append(f"{link.kind}: {clean(link.name)}{place}{sha} {clean(link.url)}".rstrip())
    if limit and len(links) > limit:
        rows.append(f"… {len(links) - limit} more links (--all shows them)")
    return "\n".join(rows)

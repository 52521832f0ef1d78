"""Render: documents of the facade as terminal text or markdown. Text from reports is escaped, never interpreted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
MAX_NAME = 90


def safe(text: object, limit: int = 400) -> str:
    """One line of printable text: control characters out, length cut."""
    line = "".join(char if char.isprintable() else " " for char in str(text))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def milliseconds(duration_ns: float | None) -> str:
    if duration_ns is None:
        return "time not collected"
    if duration_ns >= 1e6:
        return f"{duration_ns / 1e6:.3f} ms"
    return f"{duration_ns / 1e3:.2f} us"


def number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1e6 else f"{value:.3e}"


def diagnosis(document: Document, *, markdown: bool = False) -> str:
    """The diagnosis of every kernel of the document."""
    about = document["report"]
    version = safe(about["ncu_version"]).split(" ")[0]
    head = f"{safe(about['device'])} (sm {about['compute_capability']}), ncu {version}, {about['launches']} launches"
    parts = [f"# {head}" if markdown else head]
    if about.get("clock_control") == "base":
        parts.append("note: clocks were locked to base by ncu; times are longer than in production")
    for kernel in document["kernels"]:
        parts.append("\n".join(_kernel(kernel, markdown)))
    if about.get("kernels_left_out"):
        parts.append(f"{about['kernels_left_out']} more kernels: --top N or --kernel REGEX")
    return "\n\n".join(parts)


def _kernel(kernel: Document, markdown: bool) -> Iterator[str]:
    name = safe(kernel["name"], MAX_NAME)
    yield f"## `{name}`" if markdown else name
    time = f"{milliseconds(kernel['duration_ns'])} ({kernel['time_share_pct']} % of the report)"
    yield (
        f"launch {kernel['launch']}, {time}, {kernel['launches']} like it, "
        f"grid {'x'.join(map(str, kernel['grid']))}, block {'x'.join(map(str, kernel['block']))}, bound: {kernel['bound']}"
    )
    for finding in kernel["findings"]:
        yield from _finding(finding, markdown)
    if not kernel["findings"]:
        yield "no finding: nothing in the collected sections stands out"
    if kernel["not_collected"]:
        yield f"not collected: {', '.join(kernel['not_collected'])} (ncu --section NAME, or --set full)"


def _finding(finding: Document, markdown: bool) -> Iterator[str]:
    speedup = finding["estimated_speedup"]
    gain = f", {speedup['low']:.2f}x to {speedup['high']:.2f}x faster" if speedup["high"] > 1 else ""
    mark = "### " if markdown else ""
    yield f"{mark}{finding['rank']}. {finding['id']}: {finding['title']} ({finding['confidence']} confidence{gain})"
    detailed = finding["rank"] <= 2
    evidence = "; ".join(
        f"{item['metric']} = {number(item['value'])} {item['unit']}".strip() for item in finding["evidence"][: 6 if detailed else 3]
    )
    yield f"   evidence: {evidence}"
    for place in finding["locations"][: 3 if detailed else 1]:
        yield f"   at {safe(place['file'])}:{place['line']} {place['opcode']} {place['share_pct']} % ({place['role']})"
    for fix in finding["fixes"][: 3 if detailed else 1]:
        yield f"   fix: {fix['text']}" + (f"  [{', '.join(fix['wiki'])}]" if fix["wiki"] else "")
    if detailed:
        yield f"   wrong if: {finding['falsifier']}"


def summary(document: Document) -> str:
    rows = [f"{safe(document['report']['device'])}, {document['report']['launches']} launches"]
    for group in document["groups"]:
        shape = f"grid {'x'.join(map(str, group['grid']))} block {'x'.join(map(str, group['block']))}"
        cost = f"{group['time_share_pct']:5.1f} %  {group['launches']:5d} x {milliseconds(group['duration_ns']):>12}"
        rows.append(f"{cost}  {group['bound']:8} {safe(group['name'], MAX_NAME)}  {shape} (launch {group['launch']})")
    return "\n".join(rows + [f"note: {note}" for note in document["notes"]])


def hotspots(document: Document) -> str:
    """The hot lines of one launch."""
    from ncu_skill import render_source

    return render_source.hotspots(document)


def metrics(document: Document) -> str:
    rows = [f"{document['total']} metrics of {safe(document['kernel']['name'], MAX_NAME)} (launch {document['kernel']['launch']})"]
    for row in document["metrics"]:
        count = f"  [{row['instances']} instances]" if row["instances"] else ""
        rows.append(f"{row['name']} = {'no value' if row['value'] is None else safe(row['value'])} {row['unit']}{count}".rstrip())
    return "\n".join(rows)


def rules(document: Document, *, full: bool) -> str:
    rows = []
    for rule in document["rules"]:
        rows.append(f"{rule['id']} ({rule['kind']}): {rule['title']}")
        if full:
            rows.extend(f"   when: {text}" for text in rule["when"])
            rows.append(f"   gain: {rule['share']}" if rule["kind"] == "cause" else f"   level: {rule['level']}")
            rows.append(f"   explains: {', '.join(rule['explains']) or '-'}")
            rows.append(f"   source: {rule['source']}")
            rows.extend(f"   fix: {fix['text']}  [{', '.join(fix['wiki'])}]" for fix in rule["fixes"])
            rows.append(f"   wrong if: {rule['falsifier']}")
    return "\n".join(rows)


def doctor(document: Document) -> str:
    return "\n".join(f"{'ok     ' if item['ok'] else 'missing'}  {item['name']}: {item['detail']}" for item in document["checks"])

"""Markdown: the same page as text, for pull requests and agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ncu_skill.page.content import Content
from ncu_skill.pmsampling.facade import sparkline
from ncu_skill.render import milliseconds, number, safe

LINES = 12


def markdown(content: Content) -> str:
    """Findings, charts as tables, timeline as sparklines, hot lines. Text from the report stands in code spans or is escaped."""
    parts = ["\n".join(_head(content)), *("\n".join(_finding(finding)) for finding in content.row["findings"])]
    if not content.row["findings"]:
        parts.append("No finding: nothing in the collected sections stands out.")
    if content.row["not_collected"]:
        parts.append(f"Not collected: {', '.join(map(code, content.row['not_collected']))}")
    for title, unit, rows in (
        ("How busy the units are", "% of peak", content.units),
        ("What the warps wait for", "% of samples", content.stalls),
        ("Executed instructions", "% of warp instructions", content.mix),
    ):
        if rows:
            body = [f"| {cell(name)} | {value:.1f} |" for name, value in rows]
            parts.append("\n".join([f"## {title}", "", f"| | {unit} |", "| --- | ---: |", *body]))
    parts.append("\n".join(_timeline(content)))
    parts.append("\n".join(_lines(content)))
    return "\n\n".join(parts) + "\n"


def _head(content: Content) -> Iterator[str]:
    row, about = content.row, content.diagnosis["report"]
    yield f"# {code(row['name'], 300)}"
    yield ""
    version = cell(str(about["ncu_version"]).split(" ", maxsplit=1)[0])
    yield f"{cell(about['device'])} (sm {cell(about['compute_capability'])}), ncu {version},"
    grid, block = ("x".join(map(str, row[key])) for key in ("grid", "block"))
    yield f"launch {row['launch']}, {milliseconds(row['duration_ns'])}, grid {grid}, block {block}, bound: {row['bound']}"


def _finding(finding: dict[str, Any]) -> Iterator[str]:
    speedup = finding["estimated_speedup"]
    gain = f", {speedup['low']:.2f}x to {speedup['high']:.2f}x faster" if speedup["high"] > 1 else ""
    yield f"## {finding['rank']}. {cell(finding['title'])}"
    yield ""
    yield f"`{finding['id']}`, {finding['confidence']} confidence{gain}"
    yield ""
    for item in finding["evidence"]:
        yield f"* {code(item['metric'])} = {number(item['value'])} {cell(item['unit'])}".rstrip()
    for place in finding["locations"]:
        yield f"* at {code(str(place['file']) + ':' + str(place['line']))} {cell(place['opcode'])} {place['share_pct']} % ({place['role']})"
    for fix in finding["fixes"]:
        yield f"* **do:** {cell(fix['text'])} {' '.join(code('kwiki show ' + page) for page in fix['wiki'])}".rstrip()
    yield f"* wrong if: {cell(finding['falsifier'])}"


def cell(text: object, limit: int = 200) -> str:
    """Text for a table cell: one line, no cell borders, no markup."""
    line = safe(text, limit).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'")
    return line.replace("<", "&lt;").replace("[", "\\[").replace("*", "\\*").replace("_", "\\_")


def code(text: object, limit: int = 200) -> str:
    """Text as inline code inside a table cell."""
    line = safe(text, limit).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line.strip() else ""


def _timeline(content: Content) -> Iterator[str]:
    line, reading, refusal = content.pm
    yield "## Timeline"
    yield ""
    if line is None or reading is None:
        yield str(refusal)
        return
    yield f"{reading.shape}: {reading.why}"
    yield ""
    yield "```"
    for key in ("sm_active", reading.main):
        if key in line.series:
            yield f"{key:12} {sparkline(list(line.series[key]), 100.0)}"
    yield "```"
    yield from (
        f"* {phase.kind}: from {phase.start * line.interval_ns / 1000:.1f} us "
        f"for {(phase.end - phase.start) * line.interval_ns / 1000:.1f} us, level {phase.level:.2f}"
        for phase in reading.phases
    )


def _lines(content: Content) -> Iterator[str]:
    yield "## Hot lines"
    yield ""
    yield "| share | stall | place | waits for | source |"
    yield "| ---: | --- | --- | --- | --- |"
    for row in content.view.rows(LINES):
        waits = ", ".join(f"{item['opcode']} at {item['line']}" for item in row["producers"])
        place = code(f"{row['file']}:{row['line']}")
        yield f"| {row['share_pct']:.1f} % | {cell(row['stall'])} | {place} | {cell(waits)} | {code(row['text'], 120)} |"

"""Markdown: the same page as text, for pull requests and agents."""

from __future__ import annotations

from collections.abc import Iterator

from ncu_skill.page.content import Content
from ncu_skill.pmsampling.facade import sparkline
from ncu_skill.render import diagnosis, safe

LINES = 12


def markdown(content: Content) -> str:
    """Diagnosis, charts as tables, timeline as sparklines, hot lines, next commands."""
    parts = [diagnosis(content.diagnosis, markdown=True)]
    for title, unit, rows in (
        ("How busy the units are", "% of peak", content.units),
        ("What the warps wait for", "% of samples", content.stalls),
        ("Executed instructions", "% of warp instructions", content.mix),
    ):
        if rows:
            parts.append(
                "\n".join(
                    [f"### {title}", "", f"| | {unit} |", "| --- | ---: |", *(f"| {cell(name)} | {value:.1f} |" for name, value in rows)]
                )
            )
    parts.append("\n".join(_timeline(content)))
    parts.append("\n".join(_lines(content)))
    return "\n\n".join(parts) + "\n"


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
    yield "### Timeline"
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
    yield "### Hot lines"
    yield ""
    yield "| share | stall | place | waits for | source |"
    yield "| ---: | --- | --- | --- | --- |"
    for row in content.view.rows(LINES):
        waits = ", ".join(f"{item['opcode']} at {item['line']}" for item in row["producers"])
        place = code(f"{row['file']}:{row['line']}")
        yield f"| {row['share_pct']:.1f} % | {cell(row['stall'])} | {place} | {cell(waits)} | {code(row['text'], 120)} |"

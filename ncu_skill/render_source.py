"""Render of the source view: hot lines with interval, stall reasons, producers and counts, functions, SASS with PTX, as terminal text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ncu_skill.render import MAX_NAME, number, safe

Document = dict[str, Any]
MIN_SHARE = 0.05


def hotspots(document: Document) -> str:
    """The lines, hottest first."""
    kernel = document["kernel"]
    rows = [f"{safe(kernel['name'], MAX_NAME)} (launch {kernel['launch']}), {document['samples']} samples"]
    rows += _placement(document["placement"])
    for line in document["lines"]:
        rows += _line(line)
    functions = [row for row in document["functions"] if row["share_pct"] >= 1]
    if len(functions) > 1:
        rows.append("functions: " + ", ".join(f"{safe(row['name'], 60)} {row['share_pct']:.1f} %" for row in functions[:6]))
    rows += list(_sass(document.get("sass", [])))
    if document["not_collected"]:
        rows.append(f"no samples: collect {', '.join(document['not_collected'])}")
    return "\n".join(rows)


def _placement(placement: Document) -> Iterator[str]:
    if placement["attributed"] < placement["total"]:
        without, outside = placement["in_cubin_without_source"], placement["out_of_cubin"]
        yield f"{placement['attributed']} samples on source lines, {without} without a line, {outside} outside of this kernel's code"


def _line(line: Document) -> Iterator[str]:
    place = (
        f"{safe(line['file'])}:{line['line']} {line['opcode']}" if line["file"] else f"no source line, pc {line['pc']:#x} {line['opcode']}"
    )
    share = f"{line['share_pct']:5.1f} % ({line['share_low_pct']:.1f} to {line['share_high_pct']:.1f})"
    stalls = ", ".join(f"{item['reason']} {item['share_pct']:.0f} %" for item in line["stalls"][:2] if item["share_pct"] >= 1)
    yield f"{share}  {place}  {safe(line['text'], 100)}"
    counts = [f"waits: {stalls}"] if stalls else []
    if line.get("executed"):
        counts.append(f"{number(line['executed'])} executed")
    for kind in ("sectors", "wavefronts"):
        if line.get(f"excess_{kind}"):
            counts.append(f"{number(line[f'excess_{kind}'])} of {number(line[kind])} {kind} in excess")
    yield f"         {'; '.join(counts)}"
    for item in line["producers"]:
        yield f"         waits for {item['opcode']} at {safe(item['file'])}:{item['line']}"


def _sass(rows: list[Document]) -> Iterator[str]:
    for row in rows:
        share = f"{row['share_pct']:5.1f} % {row['stall']:16}" if row["share_pct"] >= MIN_SHARE else " " * 24
        yield f"{row['offset']:#06x} {share} {row['line']:>5}  {safe(row['text'], 70):70}  {safe(row['ptx'], 70)}".rstrip()

"""Render details: the tables behind the diagnosis as terminal text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ncu_skill.render import MAX_NAME, number, safe

Document = dict[str, Any]


def tables(document: Document) -> str:
    """Every table of the document under its name."""
    rows = [f"{safe(document['kernel']['name'], MAX_NAME)} (launch {document['kernel']['launch']})"]
    for name, table in document["tables"].items():
        rows.append(f"\n{name}")
        rows.extend(f"  {line}" for line in RENDERERS[name](table))
    return "\n".join(rows)


def _value(value: object) -> str:
    return "-" if value is None else number(value) if isinstance(value, int | float) else safe(value, 120)


def _roofline(table: list[Document]) -> Iterator[str]:
    for row in table:
        rate = f"{row['ops_per_second'] / 1e12:8.3f} Tops/s" if row.get("ops_per_second") else f"{row['state']:>15}"
        peak = f" of {row['peak_ops_per_second'] / 1e12:.1f} ({_value(row['peak_pct'])} %)" if row.get("peak_ops_per_second") else ""
        yield f"{row['precision']:12} {row['path']:15} {rate}{peak}" + (f", {row['ops_per_byte']} op/byte" if row["ops_per_byte"] else "")


def _occupancy(table: Document) -> Iterator[str]:
    theoretical, achieved = _value(table["theoretical_pct"]), _value(table["achieved_pct"])
    yield f"theoretical {theoretical} %, achieved {achieved} %, limited by {', '.join(table['limiters'])}"
    for name, curve in table["curves"].items():
        steps = ", ".join(f"{_value(step['at'])}: {_value(step['warps'])}" for step in curve["steps"][:12])
        if steps:
            yield f"{name} (now {_value(curve['now'])}), warps per SM from: {steps}"


def _rows(table: list[Document]) -> Iterator[str]:
    for row in table:
        yield ", ".join(f"{key} {_value(value)}" for key, value in row.items())


def _memory(table: Document) -> Iterator[str]:
    for rows in table.values():
        yield from _rows(rows)


def _tensor(table: Document) -> Iterator[str]:
    yield (
        ", ".join(f"{label} {100 * share:.2f} % of instructions" for label, share in table["paths"].items())
        or "no instruction mix collected"
    )
    for row in table["metrics"]:
        yield f"{row['what']}: {_value(row.get('value', row['state']))}" + (f" ({safe(row['hint'])})" if row.get("hint") else "")


def _patterns(table: list[Document]) -> Iterator[str]:
    for row in table[:12]:
        yield f"{row['share_pct']:6.2f} %  {row['pattern']} at {safe(row['file'])}:{row['line']} {row['opcode']}: {row['text']}"
    if not table:
        yield "none of the known patterns in the executed code"


RENDERERS: dict[str, Callable[[Any], Iterator[str]]] = {
    "roofline": _roofline,
    "occupancy": _occupancy,
    "balance": _rows,
    "memory": _memory,
    "tensor": _tensor,
    "patterns": _patterns,
}

"""Render of histories: the document of ncu_skill.history as terminal text."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ncu_skill.render import MAX_NAME, milliseconds, safe

Document = dict[str, Any]


def history(document: Document) -> str:
    """One line per report, oldest first: time, change, first finding, and what was resolved."""
    rows = [f"{safe(document['kernel'] or '', MAX_NAME)}: {len(document['series'])} reports"]
    for row in document["series"]:
        mark = "*" if row["best"] else " "
        made = datetime.fromtimestamp(row["created_unix"], tz=timezone.utc).strftime("%Y-%m-%d %H:%M")
        interval = row["interval"]
        change = (
            f"{row['speedup']:.3f}x ({interval['low']:.3f} to {interval['high']:.3f}) {row['verdict']}"
            if interval
            else "no comparable one before"
        )
        first = row["findings"][0] if row["findings"] else "no finding"
        rows.append(f"{mark} {made}  {safe(row['report'], 36):36} {milliseconds(row['duration_ns']):>12}  {change:44} {first}")
        for label in ("resolved", "new"):
            if row[label]:
                rows.append(f"      {label}: {', '.join(row[label])}")
    rows.extend(f"not read: {safe(text)}" for text in document["unreadable"])
    rows.append(f"* best; history in {safe(document['path'])}")
    return "\n".join(rows)

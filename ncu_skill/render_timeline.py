"""Render of timelines: the document of ncu_skill.pmsampling as terminal text."""

from __future__ import annotations

from typing import Any

from ncu_skill.pmsampling.facade import sparkline
from ncu_skill.render import MAX_NAME, safe

Document = dict[str, Any]
MIN_LEVEL = 1.0


def timeline(document: Document) -> str:
    """Sparklines per series, then phases, shape and the main warp states."""
    kernel = document["kernel"]
    rows = [f"{safe(kernel['name'], MAX_NAME)} (launch {kernel['launch']})"]
    if document["refused"]:
        return "\n".join([*rows, f"no timeline: {document['refused']}"])
    rows.append(f"shape: {document['shape']}: {document['why']}")
    rows.append(
        f"{document['samples']} samples, {document['interval_ns']:g} ns apart, {document['passes']} passes aligned; "
        f"tail {document['tail_share_pct']} % of the time, {document['imbalance_pct']} % of SM time idle"
    )
    for row in document["series"]:
        if row["unit"].startswith("%") and row["mean"] >= MIN_LEVEL:
            rows.append(f"{row['label']:24} {sparkline(row['values'], 100.0)} mean {row['mean']:5.1f} %, max {row['max']:5.1f} %")
    for row in document["warp_states"][:5]:
        rows.append(f"{'waits: ' + row['state'].replace('_', ' '):24} {sparkline(row['values'], 1.0)} mean {100 * row['mean']:5.1f} %")
    for phase in document["phases"]:
        period = f", period {phase['period_ns'] / 1000:.1f} us" if phase["period_ns"] else ""
        start, length = phase["start_ns"] / 1000, phase["length_ns"] / 1000
        rows.append(
            f"   {phase['kind']:9} from {start:9.1f} us for {length:9.1f} us ({phase['share_pct']:5.1f} %), "
            f"level {phase['level']:.2f} of the steady one{period}"
        )
    return "\n".join(rows)

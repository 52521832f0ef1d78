"""Render of comparisons: documents of ncu_skill.comparison as terminal text or markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ncu_skill.render import MAX_NAME, milliseconds, number, safe

Document = dict[str, Any]
WORDS = {
    "faster": "faster",
    "slower": "SLOWER",
    "same": "the same within 3 %",
    "inconclusive": "inconclusive: the change is not larger than the noise",
}


def comparison(document: Document, *, markdown: bool = False) -> str:
    """What changed, per pair; whether the reports can be compared stands first. In markdown the text stands in fences: it holds names."""
    parts = ["\n".join(_comparable(document))]
    parts += ["\n".join(_pair(row, document["comparable"]["ok"])) for row in document["kernels"]]
    parts += ["\n".join(_unmatched(document))]
    return "\n\n".join(_fenced(part) if markdown else part for part in parts if part)


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _comparable(document: Document) -> Iterator[str]:
    base, candidate = document["base"], document["candidate"]
    if not document["comparable"]["ok"]:
        yield "NOT COMPARABLE in time, no verdict on speed:"
        yield from (f"  - {safe(reason)}" for reason in document["comparable"]["reasons"])
    version = safe(base["ncu_version"]).split(" ")[0]
    yield f"base: {safe(base['device'])}, ncu {version}, {base['launches']} launches; candidate: {candidate['launches']} launches"
    yield from (f"note: {safe(caution)}" for caution in document["comparable"]["cautions"])
    total = document["total"]
    if total["speedup"] and (len(document["kernels"]) > 1 or any(document["unmatched"].values())):
        times = f"{milliseconds(total['base_ns'])} -> {milliseconds(total['candidate_ns'])}"
        yield f"one launch of every kernel: {times}, {total['speedup']:.2f}x"


def _pair(row: Document, comparable: bool) -> Iterator[str]:
    yield safe(row["name"], MAX_NAME)
    if row["base_name"] != row["name"]:
        yield f"was: {safe(row['base_name'], MAX_NAME)} (paired by {row['matched_by']}, similarity {row['similarity']:.2f})"
    for label in ("grid", "block"):
        if row[label]["base"] != row[label]["candidate"]:
            yield f"{label}: {_shape(row[label]['base'])} -> {_shape(row[label]['candidate'])}"
    yield _speed(row, comparable)
    yield from (f"note: {safe(caution)}" for caution in row["cautions"])
    yield from _findings(row["findings"])
    yield from _why(row["why"])
    yield from _identity(row["identity"])
    for line in row["lines"][:6]:
        yield f"   line {safe(line['file'])}:{line['line']} {line['status']}: {_shares(line)}  {safe(line['text'], 80)}"
    if not row["lines"] and row["hot_lines"]:
        yield "   no line's share of the samples changed beyond noise"
    if row["opcodes"]:
        yield "   opcodes: " + ", ".join(
            f"{safe(item['opcode'], 20)} {number(item['base'])} -> {number(item['candidate'])}" for item in row["opcodes"][:6]
        )


def _speed(row: Document, comparable: bool) -> str:
    times = row["duration_ns"]
    change = f"{milliseconds(times['base'])} -> {milliseconds(times['candidate'])}"
    if not comparable:
        return f"time: {change} (not comparable)"
    if not row["interval"]:
        return f"time: {change}; no verdict without both times"
    low, high = row["interval"]["low"], row["interval"]["high"]
    return f"{WORDS[row['verdict']]}: {change}, {times['speedup']:.3f}x (95 % of repetitions: {low:.3f}x to {high:.3f}x)"


def _shape(sizes: list[int]) -> str:
    return "x".join(map(str, sizes))


def _findings(found: Document) -> Iterator[str]:
    for label in ("resolved", "remaining", "new"):
        if found[label]:
            weaker = [name for name in found[label] if name in found["diminished"]]
            note = f" (a weak form is left: {', '.join(weaker)})" if weaker else ""
            yield f"findings {label}: {', '.join(found[label])}{note}"


def _why(reasons: list[Document]) -> Iterator[str]:
    if reasons:
        yield "what changed, from cause to effect:"
    for item in reasons:
        mark = {True: "better", False: "worse", None: ""}[item["better"]]
        unit = item["unit"]
        ratio = f", {item['candidate'] / item['base']:.2f}x" if item["base"] and unit != "%" else ""
        change = f"{number(item['base'])} -> {number(item['candidate'])} {unit}{ratio}"
        yield f"   {item['step']:12} {item['meaning']}: {change}  {mark}".rstrip()


def _identity(laws: list[Document]) -> Iterator[str]:
    for law in laws:
        product = " x ".join(f"{factor['times']:.2f} ({factor['factor']})" for factor in law["factors"])
        yield f"   speedup = {product}"


def _shares(line: Document) -> str:
    return f"{line['base_share_pct']} % -> {line['candidate_share_pct']} % of samples ({line['candidate_stall'] or line['base_stall']})"


def _unmatched(document: Document) -> Iterator[str]:
    for label, rows in document["unmatched"].items():
        for row in rows:
            hint = f", maybe fused into {safe(row['maybe_fused_into'], MAX_NAME)}" if row["maybe_fused_into"] else ""
            yield f"only in {label}: {safe(row['name'], MAX_NAME)} ({milliseconds(row['duration_ns'])}, {row['launches']} launches{hint})"
    if document["pairs_left_out"]:
        yield f"{document['pairs_left_out']} more pairs: --top N or --kernel REGEX"


def series(document: Document) -> str:
    """One line per report, the best marked."""
    rows = [f"{safe(document['kernel'], MAX_NAME)}, each against the first"]
    for row in document["series"]:
        mark = "*" if row["best"] else " "
        interval = row["interval"]
        speed = f"{row['speedup']:.3f}x ({interval['low']:.3f} to {interval['high']:.3f})" if interval else "not comparable"
        first = row["findings"][0] if row["findings"] else "no finding" if row["name"] else "holds no such kernel"
        time = milliseconds(row["duration_ns"]) if row["name"] else "-"
        rows.append(f"{mark} {safe(row['report'], 40):40} {time:>12}  {speed:28} {row['verdict']:13} {first}")
        rows.extend(f"      {safe(reason)}" for reason in row["comparable"]["reasons"])
    rows.append("* best")
    return "\n".join(rows)

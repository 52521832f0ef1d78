"""Sections: summary, findings, kernels, next commands and the frame of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ncu_skill.page.content import Content
from ncu_skill.page.markup import Markup, escape, table, tag
from ncu_skill.render import milliseconds, number

Document = dict[str, Any]
MAX_NAME = 300
CAVEAT = "Times are those under the profiler; values of different passes come from different runs."


def header(content: Content) -> Markup:
    """Name, launch shape, device and the key figures."""
    row, about = content.row, content.diagnosis["report"]
    version = str(about["ncu_version"]).split(" ", maxsplit=1)[0]
    shape = f"grid {_shape(row['grid'])}, block {_shape(row['block'])}, launch {row['launch']} of {about['launches']}"
    setting = f"clocks {about['clock_control']}, cache control {about['cache_control']}, replay {about['replay_mode']}"
    return tag(
        "header",
        tag("h1", escape(row["name"], MAX_NAME)),
        tag("p", f"{about['device']} (sm {about['compute_capability']}), ncu {version}, CUDA {about['cuda_version']}", class_="quiet"),
        tag("p", f"{shape}; {setting}", class_="quiet"),
        tag("dl", [_tile(label, value) for label, value in _tiles(content)], class_="tiles"),
    )


def _tile(label: str, value: str) -> Markup:
    return tag("div", tag("dt", label), tag("dd", value))


def _tiles(content: Content) -> Iterator[tuple[str, str]]:
    row, facts = content.row, content.facts
    yield "duration", milliseconds(row["duration_ns"])
    yield "bound", row["bound"]
    for label, key, form in (
        ("device memory", "dram_pct", "{:.0f} %"),
        ("compute", "compute_pct", "{:.0f} %"),
        ("occupancy", "occupancy_achieved_pct", "{:.0f} %"),
        ("waves", "waves", "{:.2f}"),
        ("registers", "registers", "{:.0f}"),
        ("shared memory", "shared_bytes", "{:.0f} B"),
    ):
        value = facts.get(key)
        if value is not None:
            yield label, form.format(value)


def navigation(names: list[tuple[str, str]]) -> Markup:
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in names]
    return tag("nav", tag("ul", links), aria_label="Sections")


def findings(content: Content, anchors: dict[tuple[str, int], str]) -> Markup:
    """Every finding with evidence, places, fixes and what would prove it wrong. `anchors` are the source lines that the page shows."""
    row = content.row
    parts = [_finding(finding, anchors) for finding in row["findings"]]
    if not parts:
        parts = [tag("p", "No finding: nothing in the collected sections stands out.")]
    if row["not_collected"]:
        parts.append(tag("p", f"Not collected: {', '.join(row['not_collected'])} (ncu --section NAME, or --set full).", class_="note"))
    return Markup("".join(parts))


def _finding(finding: Document, anchors: dict[tuple[str, int], str]) -> Markup:
    speedup, level = finding["estimated_speedup"], finding["confidence"]
    gain = f"{speedup['low']:.2f}x to {speedup['high']:.2f}x faster" if speedup["high"] > 1 else "at its limit"
    badges = [tag("span", f"{level} confidence", class_=f"badge {level}"), tag("span", gain, class_="badge")]
    evidence: list[list[object]] = [
        [item["metric"], f"{number(item['value'])} {item['unit']}".strip(), item.get("threshold", "")] for item in finding["evidence"]
    ]
    return tag(
        "article",
        tag("h3", f"{finding['rank']}. {finding['title']} ", tag("code", finding["id"]), badges),
        [tag("h4", "Where"), tag("ul", [_place(place, anchors) for place in finding["locations"]])] if finding["locations"] else None,
        tag("h4", "What to do"),
        tag("ul", [_fix(fix) for fix in finding["fixes"]]),
        tag("details", tag("summary", f"Evidence ({len(evidence)})"), table(["metric", "value", "condition"], evidence, label="Evidence")),
        tag("p", tag("strong", "Wrong if: "), finding["falsifier"], class_="quiet"),
        class_=f"finding {level}",
    )


def _place(place: Document, anchors: dict[tuple[str, int], str]) -> Markup:
    name = f"{place['file']}:{place['line']}"
    anchor = anchors.get((place["file"], place["line"]))
    link = tag("a", tag("code", name), href=f"#{anchor}") if anchor else tag("code", name)
    return tag("li", link, f" {place['opcode']}, {place['share_pct']} % ({place['role']})")


def _fix(fix: Document) -> Markup:
    pages = [[" ", tag("code", f"kwiki show {page}")] for page in fix["wiki"]]
    return tag("li", fix["text"], pages)


def kernels(content: Content) -> Markup:
    """The other kernels of the report, longest first."""
    rows: list[list[object]] = [
        [
            escape(group["name"], 120),
            group["launches"],
            milliseconds(group["duration_ns"]),
            f"{group['time_share_pct']:.1f} %",
            group["bound"],
            _shape(group["grid"]),
            _shape(group["block"]),
        ]
        for group in content.groups[:20]
    ]
    return table(["kernel", "launches", "one launch", "of the report", "bound", "grid", "block"], rows, label="Kernels of the report")


def commands(content: Content) -> Markup:
    """What to run next, from what the diagnosis says and what the report lacks."""
    name = content.report.path.name
    launch = content.kernel.launch
    lines = [
        f"ncu-skill diagnose {name} --launch {launch} --json",
        f"ncu-skill hotspots {name} --launch {launch} --sass",
        f"ncu-skill diff {name} AFTER.ncu-rep",
    ]
    missing = content.row["not_collected"]
    if missing:
        lines.append("ncu " + " ".join(f"--section {section}" for section in missing) + " -o AGAIN APPLICATION")
    words = [word for finding in content.row["findings"][:1] for word in finding["symptoms"][:1]]
    lines += [f'kwiki search "{word}"' for word in words]
    return tag("pre", tag("code", Markup("\n".join(escape(line) for line in lines))), tabindex=0, aria_label="Commands to run next")


def footer(content: Content) -> Markup:
    about = content.diagnosis["report"]
    return tag(
        "footer",
        tag("p", f"Made by ncu-skill from {content.report.path.name}. {CAVEAT}"),
        tag("p", "Command: ", tag("code", about["command_line"])) if about["command_line"] else None,
    )


def _shape(sizes: list[int]) -> str:
    return "x".join(map(str, sizes))

"""Annotated source: heat, stall reasons and counts beside the lines of the hot files, and the SASS with its PTX."""

from __future__ import annotations

from collections.abc import Iterator

from ncu_skill.page.content import Content
from ncu_skill.page.markup import MAX_TEXT, Markup, escape, join, table, tag
from ncu_skill.source_view import Heat, Line

FILES = 4
AROUND = 3
MAX_ROWS = 300
MIN_SHARE = 0.0005
MAX_SASS = 600
HEAD = ("line", "share", "source", "waits for", "executed", "excess", "95 % interval")


class SourceSection:
    """The annotated files of one launch; `anchors` maps (shown file, line) to the id of its row."""

    def __init__(self, content: Content) -> None:
        self._content, self._view = content, content.view
        self.anchors: dict[tuple[str, int], str] = {}
        self._files = self._hot_files()
        for number, (path, lines) in enumerate(self._files):
            for line in lines:
                self.anchors[self._view.shown(path), line] = f"f{number}l{line}"

    def _hot_files(self) -> list[tuple[str, dict[int, Heat]]]:
        """The files with most samples (or executed instructions) and their lines."""
        found: dict[str, dict[int, Heat]] = {}
        for (path, line), heat in self._view.lines.items():
            if path and (heat.samples or heat.counts):
                found.setdefault(path, {})[line] = heat
        ranked = sorted(found.items(), key=lambda item: -sum(heat.samples for heat in item[1].values()))
        return ranked[:FILES]

    def html(self) -> Markup:
        """Placement and functions, then every file."""
        placement = self._view.placement
        if not placement["total"] and not self._files:
            return tag("p", "No samples and no line information: collect SourceCounters and build with -lineinfo.", class_="note")
        outside = (
            f"{placement['in_cubin_without_source']} in code without a line, {placement['out_of_cubin']} outside of this kernel's code"
        )
        parts = [tag("p", f"{placement['total']} samples: {placement['attributed']} on source lines, {outside}.", class_="quiet")]
        functions = self._view.functions()
        if len(functions) > 1:
            rows: list[list[object]] = [[escape(row["name"], 160), f"{row['share_pct']:.1f} %"] for row in functions[:12]]
            parts.append(table(["function", "of the samples"], rows, label="Samples per function"))
        parts += [self._file(number, path, lines) for number, (path, lines) in enumerate(self._files)]
        return Markup("".join(parts))

    def _file(self, number: int, path: str, lines: dict[int, Heat]) -> Markup:
        share = sum(heat.samples for heat in lines.values()) / (self._view.samples.total or 1.0)
        text = self._view.file(path)
        rows = list(self._rows(number, path, lines, text))
        head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in HEAD]))
        made = tag("table", head, tag("tbody", rows), class_="source")
        note = None if text else "The source is not embedded: collect with --import-source yes, or give --source-root FOLDER."
        return Markup(
            tag("h3", tag("code", escape(self._view.shown(path), 200)), f" {100 * share:.1f} % of the samples")
            + (tag("p", note, class_="note") if note else "")
            + tag("div", made, class_="scroll", role="region", tabindex=0, aria_label=f"Annotated source {number + 1}")
        )

    def _rows(self, number: int, path: str, lines: dict[int, Heat], text: list[str]) -> Iterator[Markup]:
        total = self._view.samples.total or 1.0
        hot = [line for line, heat in lines.items() if heat.samples / total >= MIN_SHARE or not self._view.samples.total]
        shown = sorted(_around(hot, len(text)))
        before = shown[0] - 1 if shown else 0
        for line in shown[:MAX_ROWS]:
            if line != before + 1:
                yield tag("tr", tag("td", "⋯", colspan=len(HEAD)), class_="gap")
            before = line
            yield self._row(f"f{number}l{line}", (path, line), lines.get(line), text)

    def _row(self, anchor: str, line: Line, heat: Heat | None, text: list[str]) -> Markup:
        code = escape(text[line[1] - 1].rstrip(), MAX_TEXT // 4) if 0 < line[1] <= len(text) else ""
        number = tag("th", line[1], scope="row")
        if heat is None:
            return tag("tr", number, tag("td"), tag("td", code, class_="text"), *(tag("td") for _ in HEAD[3:]), id=anchor)
        row = self._view.row(line, heat)
        cells = (
            tag("td", f"{row['share_pct']:.1f} %" if heat.samples else "", class_="share", style=f"--w: {row['share_pct']:.1f}%"),
            tag("td", code, class_="text"),
            tag("td", self._waits(row)),
            tag("td", _count(row["executed"]), class_="number"),
            tag("td", _excess(row), class_="number"),
            tag("td", f"{row['share_low_pct']:.1f} to {row['share_high_pct']:.1f}" if heat.samples else "", class_="number"),
        )
        return tag("tr", number, cells, id=anchor, class_="hot" if row["share_pct"] >= 5 else None)

    def _waits(self, row: dict[str, object]) -> Markup:
        """The main stall reasons, and a link to the line that produces what the hottest instruction waits for."""
        stalls, producers = row["stalls"], row["producers"]
        assert isinstance(stalls, list)
        assert isinstance(producers, list)
        main = [item for item in stalls[:2] if item["share_pct"] >= 1]
        parts: list[object] = [", ".join(f"{item['reason'].replace('_', ' ')} {item['share_pct']:.0f} %" for item in main)]
        for item in producers[:1]:
            anchor = self.anchors.get((item["file"], item["line"]))
            name = f"{item['opcode']} in line {item['line']}"
            parts += [", for ", tag("a", name, href=f"#{anchor}") if anchor else name]
        return join(parts)

    def sass(self) -> Markup:
        """The instructions in address order with samples and the PTX line they were made from, folded."""
        rows = self._view.sass(limit=MAX_SASS)
        if not rows:
            return tag("p", "The report holds no code of this kernel.", class_="note")
        cells: list[list[object]] = [
            [
                f"{row['offset']:#06x}",
                f"{row['share_pct']:.1f} %" if row["share_pct"] >= 0.05 else "",
                row["stall"].replace("_", " ") if row["share_pct"] >= 0.05 else "",
                row["line"] or "",
                tag("code", escape(row["text"], 160)),
                tag("code", escape(row["ptx"], 160)),
            ]
            for row in rows
        ]
        made = table(["offset", "samples", "stall", "line", "SASS", "PTX"], cells, label="SASS instructions", class_="source")
        cut = len(self._view.samples.code) - len(rows)
        note = tag("p", f"{cut} more instructions: ncu-skill hotspots REPORT --sass --json", class_="quiet") if cut > 0 else ""
        return Markup(tag("details", tag("summary", f"{len(rows)} instructions with their PTX"), made) + note)


def _around(hot: list[int], length: int) -> set[int]:
    """The hot lines with their neighbours; only the hot ones where the text is not known."""
    near = {line + step for line in hot for step in range(-AROUND, AROUND + 1)} if length else set()
    return {line for line in near if 0 < line <= length} | set(hot)


def _count(value: object) -> str:
    if not isinstance(value, int | float) or not value:
        return ""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f} {suffix}"
    return f"{value:.0f}"


def _excess(row: dict[str, object]) -> str:
    """Sectors or wavefronts beyond what the access needs."""
    parts = [f"{_count(row[f'excess_{kind}'])} {kind}" for kind in ("sectors", "wavefronts") if row.get(f"excess_{kind}")]
    return ", ".join(parts)

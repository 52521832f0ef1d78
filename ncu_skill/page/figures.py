"""Figures: the page's charts as inline SVG, each with a caption and, where it has one, a table of its values."""

from __future__ import annotations

from collections.abc import Iterator

from ncu_skill.charts import bars, roofline, theme
from ncu_skill.charts import timeline as timeline_chart
from ncu_skill.page.content import Content
from ncu_skill.page.markup import Markup, table, tag, visible


def charts(content: Content) -> Markup:
    """Roofline, units, stalls and instruction mix, side by side where there is room."""
    return tag("div", list(_charts(content)), class_="charts")


def _charts(content: Content) -> Iterator[Markup]:
    if content.roofs:
        points = content.roofs.points
        text = "; ".join(f"{point.precision} {point.achieved:.3g} of {point.peak:.3g} operations per second" for point in points)
        rows: list[list[object]] = [
            [point.precision, f"{point.achieved:.4g}", f"{point.peak:.4g}", f"{point.intensity:.3g}"] for point in points
        ]
        values = table(["precision", "achieved op/s", "peak op/s", "op/byte"], rows, label="Roofline values")
        with theme.styled("roofline"):
            yield _figure("Roofline", theme.inline(roofline.draw(content.roofs), "Roofline", visible(text), prefix="roofline"), values)
    for title, data, unit, top, marks in (
        ("How busy the units are", content.units, "% of peak", 105.0, (60.0, 80.0)),
        ("What the warps wait for", content.stalls, "% of samples", None, ()),
        ("Executed instructions", content.mix, "% of warp instructions", None, ()),
    ):
        if data:
            salt = title.split(" ", maxsplit=1)[0]
            with theme.styled(salt):
                made = bars.draw(data, unit, salt=salt, top=top, mark=data[0][0], marks=marks)
                text = ", ".join(f"{label} {value:.1f}" for label, value in data)
                values = table([title, unit], [[label, round(value, 2)] for label, value in data], label=f"Values: {title}")
                yield _figure(title, theme.inline(made, title, visible(text), prefix=salt), values)


def timeline(content: Content) -> Markup:
    """The launch over time with its phases, or why it cannot be shown."""
    line, reading, refusal = content.pm
    if line is None or reading is None:
        return tag("p", refusal, class_="note")
    with theme.styled("timeline"):
        drawn = timeline_chart.draw(line, reading, "")
        svg = theme.inline(drawn, "Timeline", visible(f"shape {reading.shape}: {reading.why}"), prefix="timeline-chart")
    rows: list[list[object]] = [
        [
            phase.kind,
            f"{phase.start * line.interval_ns / 1000:.1f}",
            f"{(phase.end - phase.start) * line.interval_ns / 1000:.1f}",
            f"{100 * (phase.end - phase.start) / line.samples:.1f} %",
            f"{phase.level:.2f}",
        ]
        for phase in reading.phases
    ]
    head = ["phase", "start us", "length us", "share", "level of the steady part"]
    return Markup(
        tag("p", tag("strong", reading.shape), ": ", reading.why)
        + tag("figure", tag("div", Markup(svg), class_="wide", role="region", tabindex=0, aria_label="Timeline chart"))
        + table(head, rows, label="Phases")
        + tag(
            "p",
            f"{line.samples} samples, {line.interval_ns:g} ns apart, {line.passes} passes aligned at their context switch.",
            class_="quiet",
        )
    )


def _figure(title: str, svg: str, values: Markup) -> Markup:
    return tag("figure", tag("figcaption", title), Markup(svg), tag("details", tag("summary", f"Values: {title.lower()}"), values))

"""Bar charts: how busy the units are, what the warps wait for, which instructions run."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ncu_skill.charts import theme


def draw(
    rows: Sequence[tuple[str, float]], unit: str, *, salt: str, top: float | None = None, mark: str = "", marks: Sequence[float] = ()
) -> Figure:
    """Horizontal bars, the first row on top; `mark` is the label drawn in the accent colour, `marks` are guide lines."""
    with theme.styled(salt):
        made, (axes,) = theme.figure(4.9, 0.75 + 0.235 * max(3, len(rows)))
        labels = [theme.plain(label, 30) for label, _ in rows]
        values = [value for _, value in rows]
        colours = [theme.ACCENT if label == mark else theme.SERIES[0] for label, _ in rows]
        places = range(len(rows))
        axes.barh(places, values, color=colours, height=0.7)
        axes.set_yticks(list(places), labels)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        limit = top or 1.18 * max([*values, 1e-9])
        axes.set_xlim(0, limit)
        for place, value in zip(places, values, strict=True):
            inside = value > 0.86 * limit
            axes.text(
                value - 0.012 * limit if inside else value + 0.012 * limit,
                place,
                f"{value:.1f}",
                va="center",
                ha="right" if inside else "left",
                fontsize=8.5,
                color=theme.SURFACE if inside else theme.INK,
                bbox=None if inside else {"facecolor": theme.SURFACE, "edgecolor": "none", "pad": 0.6},
            )
        for guide in marks:
            axes.axvline(guide, color=theme.MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.set_xlabel(unit)
        return made

"""Theme: figures that follow a page's light or dark colours (inline SVG with CSS variables), or stand alone as SVG or PNG files."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncu_skill.errors import BadArgument

INK, MUTED, GRID, SURFACE = "#1b1f24", "#59636e", "#d1d9e1", "#fdfefe"
# Okabe and Ito's colours, which people with colour-blindness can tell apart, darkened where text or thin lines need contrast.
SERIES = ("#0b62a4", "#c2500a", "#08795a", "#a6407f", "#8a6300", "#2f7fa8", "#6b4fa0", "#7a7f85")
ACCENT = "#c2500a"
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    SURFACE: "var(--surface)",
    **{colour: f"var(--s{index})" for index, colour in enumerate(SERIES, start=1)},
}
DARK = {
    INK: "#e6e9ec",
    MUTED: "#a3adb8",
    GRID: "#3a424b",
    SURFACE: "#14181d",
    **dict(zip(SERIES, ("#6db3f2", "#f59a5b", "#4fc7a0", "#e394c4", "#d9b04a", "#8fd0f0", "#b7a0e8", "#a9b0b7"), strict=True)),
}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": SURFACE,
    "figure.facecolor": SURFACE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "legend.frameon": False,
    "text.parse_math": False,
}
METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def figure(width: float, height: float, rows: int = 1, ratios: tuple[float, ...] = (1,)) -> tuple[Figure, list[Axes]]:
    """An empty figure of this size in inches with its axes, top to bottom, sharing the x axis. Call inside `styled`."""
    made = Figure(figsize=(width, height), layout="constrained")
    axes = made.subplots(rows, 1, sharex=rows > 1, squeeze=False, height_ratios=ratios if rows > 1 else None)
    return made, [axes[row][0] for row in range(rows)]


def styled(salt: str) -> Any:
    """Context of our style; `salt` makes the ids of the SVG deterministic and different per figure."""
    return rc_context({**STYLE, "svg.hashsalt": salt})


def inline(made: Figure, title: str, description: str, *, prefix: str) -> str:
    """The figure as an `<svg>` element whose colours are the page's variables and whose text is real text.

    `prefix` keeps the ids of several figures on one page apart.
    """
    out = io.StringIO()
    made.savefig(out, format="svg", metadata=METADATA, transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--sans)", text)
    text = re.sub(r'( id="|url\(#|href="#)', rf"\1{prefix}-", text)
    label = html.escape(f"{title}. {description}", quote=True)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{label}"', text, count=1)
    return re.sub(r"\n\s*", "\n", text)


def save(made: Figure, path: Path, *, dark: bool = False) -> None:
    """Write an SVG or PNG file, beside first, then renamed. Raises BadArgument for another ending."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in {"svg", "png"}:
        raise BadArgument(f"{path.name} cannot be drawn: give a name that ends in .svg or .png")
    if not path.parent.is_dir():
        raise BadArgument(f"the folder {path.parent} does not exist; make it first")
    beside = path.with_name(f".{path.name}.part")
    if kind == "png":
        made.savefig(beside, format="png", dpi=144)
    else:
        out = io.StringIO()
        made.savefig(out, format="svg", metadata=METADATA)
        text = out.getvalue()
        for colour, other in DARK.items() if dark else ():
            text = text.replace(colour, other)
        beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def plain(text: object, limit: int = 60) -> str:
    """A label from a report: printable and short."""
    line = "".join(char if char.isprintable() else " " for char in str(text))
    return line if len(line) <= limit else line[: limit - 1] + "…"

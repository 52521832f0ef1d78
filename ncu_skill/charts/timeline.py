"""Timeline chart: activity of the units over the run with its phases, and what the warps waited for."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncu_skill.charts import theme
from ncu_skill.data import table
from ncu_skill.pmsampling.phases import Reading
from ncu_skill.pmsampling.series import Timeline, Values

MAX_POINTS = 400
SHOWN = 4
STATES = 6


def draw(line: Timeline, reading: Reading, title: str, *, salt: str = "timeline") -> Figure:
    """The figure: lines on top, warp states below when they were sampled."""
    with theme.styled(salt):
        rows = 2 if line.warp_states else 1
        made, axes = theme.figure(9.2, 4.6 if rows == 2 else 3.0, rows, (1.35, 1)[:rows])
        scale, unit = (1e6, "ms") if line.duration_ns >= 5e6 else (1e3, "us")
        times = _thin(line.times_ns) / scale
        _activity(axes[0], line, reading, times)
        _phases(axes[0], line, reading, scale)
        axes[0].set_title(theme.plain(title, 90))
        if rows == 2:
            _states(axes[1], line, times)
        axes[-1].set_xlabel(f"time since the first block [{unit}]")
        axes[-1].set_xlim(0, max(line.duration_ns / scale, 1e-9))
        return made


def _thin(values: Values) -> Values:
    """At most 400 points, the mean of each bin: a page does not show more."""
    if len(values) <= MAX_POINTS:
        return values
    edges = np.linspace(0, len(values), MAX_POINTS + 1).astype(int)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def _activity(axes: Axes, line: Timeline, reading: Reading, times: Values) -> None:
    known = table("timeline")["series"]
    busy = [key for key in line.series if known[key]["role"] == "activity" and np.percentile(line.series[key], 95) >= 2]
    busy.sort(key=lambda key: (key != reading.main, -float(np.mean(line.series[key]))))
    if "sm_active" in line.series:
        axes.fill_between(times, _thin(line.series["sm_active"]), color=theme.GRID, alpha=0.6, linewidth=0, label="SMs active")
    for index, key in enumerate(busy[:SHOWN]):
        width = 1.9 if key == reading.main else 1.1
        axes.plot(times, _thin(line.series[key]), color=theme.SERIES[index], linewidth=width, label=known[key]["label"])
    axes.set_ylabel("% of peak")
    axes.set_ylim(0, 109)
    axes.grid(axis="y", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5)


def _phases(axes: Axes, line: Timeline, reading: Reading, scale: float) -> None:
    for phase in reading.phases:
        start, end = phase.start * line.interval_ns / scale, phase.end * line.interval_ns / scale
        if phase.start:
            axes.axvline(start, color=theme.MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        if phase.end - phase.start >= 0.06 * line.samples:
            axes.text((start + end) / 2, 103, phase.kind, ha="center", va="bottom", fontsize=8, color=theme.MUTED)


def _states(axes: Axes, line: Timeline, times: Values) -> None:
    shown = list(line.warp_states)[:STATES]
    rest = 1 - np.sum([line.warp_states[key] for key in shown], axis=0)
    active = np.sum(list(line.warp_states.values()), axis=0) > 0
    layers = [100 * _thin(line.warp_states[key]) for key in shown] + [100 * _thin(np.where(active, np.clip(rest, 0, 1), 0))]
    labels = [key.replace("_", " ") for key in shown] + ["other"]
    axes.stackplot(times, *layers, colors=[*theme.SERIES[: len(shown)], theme.GRID], labels=labels, linewidth=0)
    axes.set_ylabel("% of warp states")
    axes.set_ylim(0, 100)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, reverse=True)

"""Roofline chart: achieved operations per second against arithmetic intensity, under the roofs of memory and of each precision that ran."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from ncu_skill.charts import theme
from ncu_skill.roofs import Roofs


def _short(value: float, _: object = None) -> str:
    """0.1, 10, 1 k, 100 k, 1 M"""
    return f"{value:g}" if value < 1000 else EngFormatter(sep=" ")(value)


def draw(roofs: Roofs, *, salt: str = "roofline") -> Figure:
    """Log-log: one diagonal for device memory, one horizontal roof and one point per precision."""
    with theme.styled(salt):
        made, (axes,) = theme.figure(4.9, 3.5)
        peak = max(point.peak for point in roofs.points)
        ridge = peak / roofs.bandwidth
        low = min([0.05, *(point.intensity / 4 for point in roofs.points)])
        high = max([40 * ridge, *(point.intensity * 4 for point in roofs.points)])
        grid = np.geomspace(low, high, 3)
        diagonal = np.array([low, ridge])
        axes.plot(diagonal, diagonal * roofs.bandwidth, color=theme.MUTED, linewidth=1.4)
        for index, point in enumerate(roofs.points):
            colour = theme.SERIES[index % len(theme.SERIES)]
            start = point.peak / roofs.bandwidth
            axes.plot([start, grid[-1]], [point.peak, point.peak], color=colour, linewidth=1.4)
            axes.plot([point.intensity], [point.achieved], "o", color=colour, markersize=7)
            axes.vlines(point.intensity, point.achieved, point.roof(roofs.bandwidth), color=colour, linewidth=0.9, linestyle=(0, (2, 2)))
            label = f"{theme.plain(point.precision)} {100 * point.achieved / point.roof(roofs.bandwidth):.0f} % of its roof"
            axes.plot([], [], "o-", color=colour, label=label)
        axes.plot([], [], color=theme.MUTED, label=f"device memory {roofs.bandwidth / 1e12:.2f} TB/s")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.minorticks_off()
        axes.set_xlim(low, high)
        axes.set_ylim(min(0.3 * roofs.bandwidth * low, *(point.achieved / 3 for point in roofs.points)), 3 * peak)
        axes.grid(linewidth=0.5)
        axes.set_xlabel("operations per byte of device memory")
        axes.set_ylabel("operations per second")
        axes.legend(loc="lower right", fontsize=8)
        return made

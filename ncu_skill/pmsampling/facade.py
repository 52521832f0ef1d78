"""Facade of timelines: a report to a JSON-ready document, and to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ncu_skill.data import table
from ncu_skill.errors import BadArgument
from ncu_skill.facade import groups, identity
from ncu_skill.pmsampling import phases, series
from ncu_skill.pmsampling.phases import Reading
from ncu_skill.pmsampling.series import Timeline, Values
from ncu_skill.report import Kernel, Report, open_report

SCHEMA_VERSION = 1
MIN_SAMPLES = 20
POINTS = 100
BARS = "▁▂▃▄▅▆▇█"
Document = dict[str, Any]
HOW = (
    "make the launch longer (a larger problem), or sample more often: ncu --section PmSampling --section PmSampling_WarpStates "
    "--pm-sampling-interval 1000"
)


def timeline(report: Report | str | Path, *, kernel: str | None = None, launch: int | None = None, points: int = POINTS) -> Document:
    """Phases, shape, series and warp states over the run of one launch; `refused` says why there are none and how to collect more.

    Values are in the unit of their series, at most `points` of them (means of equal bins); times are nanoseconds from the first activity.
    """
    if points < 2:
        raise BadArgument("--points takes a number of at least 2")
    one = _kernel(report, kernel, launch)
    line, reading, refusal = _read(one)
    document: Document = {"schema_version": SCHEMA_VERSION, "kernel": identity(one), "refused": refusal}
    document["samples"] = line.samples if line else 0
    document["interval_ns"] = line.interval_ns if line else None
    if line is None or reading is None:
        return document | {"shape": None, "phases": [], "series": [], "warp_states": []}
    return document | _filled(line, reading, points)


def plot(report: Report | str | Path, path: Path, *, kernel: str | None = None, launch: int | None = None, dark: bool = False) -> Path:
    """Draw the timeline into an .svg or .png file. Raises BadArgument when there is nothing to draw."""
    one = _kernel(report, kernel, launch)
    line, reading, refusal = _read(one)
    if line is None or reading is None:
        raise BadArgument(f"no picture: {refusal}")
    from ncu_skill.charts import theme
    from ncu_skill.charts import timeline as chart

    with theme.styled("timeline"):
        theme.save(chart.draw(line, reading, one.name), path, dark=dark)
    return path


def read(one: Kernel) -> tuple[Timeline | None, Reading | None, str | None]:
    """(timeline, reading, refusal) of one launch."""
    return _read(one)


def _kernel(report: Report | str | Path, pattern: str | None, launch: int | None) -> Kernel:
    opened = report if isinstance(report, Report) else open_report(report)
    return opened.kernel(launch if launch is not None else groups(opened, pattern)[0].launch)


def _read(one: Kernel) -> tuple[Timeline | None, Reading | None, str | None]:
    line = series.read(one)
    if line is None:
        return None, None, "no PM samples in this report; collect them with: ncu --section PmSampling --section PmSampling_WarpStates"
    if line.samples < MIN_SAMPLES:
        few = f"only {line.samples} samples while the kernel ran ({line.interval_ns:g} ns apart)"
        return line, None, f"{few}, {MIN_SAMPLES} are needed to tell phases: {HOW}"
    return line, phases.reading(line, one.number("launch__waves_per_multiprocessor")), None


def _filled(line: Timeline, reading: Reading, points: int) -> Document:
    known = table("timeline")
    return {
        "duration_ns": line.duration_ns,
        "passes": line.passes,
        "shape": reading.shape,
        "why": reading.why,
        "main_series": reading.main,
        "steady_pct": round(reading.steady_pct, 2),
        "tail_share_pct": round(100 * reading.tail_share, 1),
        "imbalance_pct": round(100 * reading.imbalance, 1),
        "phases": [
            {
                "kind": phase.kind,
                "start_ns": phase.start * line.interval_ns,
                "length_ns": (phase.end - phase.start) * line.interval_ns,
                "share_pct": round(100 * (phase.end - phase.start) / line.samples, 1),
                "level": round(phase.level, 3),
                "period_ns": phase.period,
                "falling": phase.falling,
                "meaning": known["phases"][phase.kind],
            }
            for phase in reading.phases
        ],
        "series": [
            {
                "name": key,
                "label": known["series"][key]["label"],
                "unit": known["series"][key]["unit"],
                "mean": round(float(np.mean(values)), 3),
                "max": round(float(np.max(values)), 3),
                "values": _binned(values, points),
            }
            for key, values in line.series.items()
        ],
        "warp_states": [
            {"state": key, "mean": round(float(np.mean(values)), 4), "values": _binned(values, points)}
            for key, values in line.warp_states.items()
        ],
    }


def _binned(values: Values, points: int) -> list[float]:
    if len(values) > points:
        edges = np.linspace(0, len(values), points + 1).astype(int)
        values = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return [round(float(value), 4) for value in values]


def sparkline(values: list[float], top: float, width: int = 60) -> str:
    """The values as one line of block characters; `top` is the full height."""
    found = _binned(np.asarray(values, dtype=np.float64), width)
    return "".join(BARS[min(len(BARS) - 1, max(0, int(value / top * len(BARS))))] if top > 0 else BARS[0] for value in found)

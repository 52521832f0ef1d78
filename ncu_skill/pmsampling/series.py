"""Series: the PM samples of one launch on one time axis; every pass has its own clock base and is aligned by its context switch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncu_skill.data import table
from ncu_skill.errors import UnreadableReport
from ncu_skill.report import Kernel

PASS_GROUPS = "profiler__pmsampler_pass_groups"
INTERVAL = "profiler__pmsampler_interval_time"
_PREFIX = re.compile(r"^(?:.*:|(?:\w+\.)*?\w*Triage\w*\.)")
_NANOSECONDS = 10**15
MAX_SAMPLES = 10**6
MAX_VALUE = 1e15
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """Aligned series of the time in which the kernel ran. `times_ns` starts at 0; every array has its length."""

    times_ns: Values
    interval_ns: float
    series: dict[str, Values]
    warp_states: dict[str, Values]
    passes: int

    @property
    def samples(self) -> int:
        return len(self.times_ns)

    @property
    def duration_ns(self) -> float:
        return self.samples * self.interval_ns


def base_name(name: str) -> str:
    """The name behind the prefix that varies with chip and version: `TPC.TriageCompute.sm__x.avg` gives `sm__x.avg`."""
    return _PREFIX.sub("", name)


def read(kernel: Kernel) -> Timeline | None:
    """The launch's timeline; None when no PM sampling was collected or nothing ran while it sampled."""
    passes = _passes(kernel)
    known = {key: _find(row["names"], passes) for key, row in table("timeline")["series"].items()}
    anchor = known.get("sm_active") or known.get("issue")
    if anchor is None:
        return None
    times, values = _samples(kernel, anchor, passes)
    window = _active(times, values)
    if window is None:
        return None
    interval = max(1.0, float(np.median(np.diff(times)))) if len(times) > 1 else 1.0
    if times[window[1]] - times[window[0]] > MAX_SAMPLES * interval:
        raise UnreadableReport("the report is damaged: its PM samples are spread over an impossible time")
    grid = np.arange(times[window[0]], times[window[1]] + 0.5 * interval, interval)
    found = {key: _resampled(kernel, name, passes, grid) for key, name in known.items() if name}
    states = {}
    pattern = re.compile(table("timeline")["warp_state"])
    for name in passes:
        match = pattern.search(base_name(name))
        if match:
            states[match[1]] = _resampled(kernel, name, passes, grid)
    if "sm_active" in found:
        found["sm_active"] = 100 * found["sm_active"] / max(float(np.max(found["sm_active"])), 1e-12)
    return Timeline(grid - grid[0], interval, found, _shares(states), len(set(passes.values())))


def _passes(kernel: Kernel) -> dict[str, int]:
    """{metric: pass} of every sampled metric; without the list of groups all are taken to come from one pass."""
    groups, ids = kernel.instances(PASS_GROUPS)
    found = {name: number for text, number in zip(groups, ids, strict=True) if isinstance(number, int) for name in str(text).split(",")}
    if found:
        return {name: number for name, number in found.items() if name in kernel}
    return {name: 0 for name in kernel.metric_names if name.startswith("pmsampling:") or "Triage" in name}


def _find(names: list[str], passes: dict[str, int]) -> str | None:
    by_base = {base_name(name): name for name in passes}
    return next((by_base[name] for name in names if name in by_base), None)


def _samples(kernel: Kernel, name: str, passes: dict[str, int]) -> tuple[Values, Values]:
    """(times in ns from the pass's context switch, values); instances without a timestamp are left out."""
    values, ids = kernel.instances(name)
    rows = [(at, value) for at, value in zip(ids, values, strict=True) if _is_time(at) and not isinstance(value, str)]
    if not rows:
        return np.empty(0), np.empty(0)
    switches = kernel.instances(f"profiler__pmsampler_ctxsw_{passes.get(name, 0)}")[1]
    start = int(switches[0]) if switches and _is_time(switches[0]) else int(rows[0][0])
    order = sorted(rows, key=lambda row: row[0])
    found = np.array([float(value) for _, value in order])
    return np.array([int(at) - start for at, _ in order], dtype=np.float64), np.where((found >= 0) & (found < MAX_VALUE), found, 0.0)


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and value > _NANOSECONDS


def _active(times: Values, values: Values) -> tuple[int, int] | None:
    """(first, last) sample in which anything ran. A few per mille of the peak is the sampler's own noise."""
    if not len(values) or np.max(values) <= 0:
        return None
    busy = np.nonzero(values > 0.003 * np.max(values))[0]
    return int(busy[0]), int(busy[-1])


def _resampled(kernel: Kernel, name: str, passes: dict[str, int], grid: Values) -> Values:
    times, values = _samples(kernel, name, passes)
    return np.interp(grid, times, values, left=0.0, right=0.0) if len(times) else np.zeros(len(grid))


def _shares(states: dict[str, Values]) -> dict[str, Values]:
    """Warp states as parts (0 to 1) of all sampled states at each time, the largest first."""
    if not states:
        return {}
    total = np.sum(list(states.values()), axis=0)
    safe = np.where(total > 0, total, 1.0)
    ranked = sorted(states, key=lambda key: -float(np.sum(states[key])))
    return {key: states[key] / safe for key in ranked if np.sum(states[key]) > 0}

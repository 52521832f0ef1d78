"""Roofline: work, rate and peak per precision, on the ordinary pipes and on tensor cores, against device memory traffic."""

from __future__ import annotations

from typing import Any

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.roofs import Rate, rates
from ncu_skill.samples import Samples


def table(kernel: Kernel, facts: Facts, samples: Samples) -> list[dict[str, Any]]:
    """Rows {precision, path, state, ops_per_second, peak_ops_per_second, peak_pct, ops_per_byte}, as `roofs.rates` gives them.

    The rates are left out where `state` is not-collected or not-on-this-chip.
    """
    moved = kernel.number("dram__bytes.sum.per_second")
    return [_row(rate, moved) for rate in rates(kernel)]


def _row(rate: Rate, moved: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"precision": rate.precision, "path": rate.path, "state": rate.state}
    if rate.achieved is not None:
        row |= {"ops_per_second": rate.achieved, "peak_ops_per_second": rate.peak}
    row["peak_pct"] = round(100 * rate.achieved / rate.peak, 2) if rate.achieved is not None and rate.peak else None
    row["ops_per_byte"] = round(rate.achieved / moved, 3) if rate.achieved and moved else None
    return row

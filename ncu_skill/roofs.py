"""Roofs: peaks and achieved rates per precision, and the bandwidth of device memory, from one launch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ncu_skill.report import Kernel

# Scalar precisions: (label, multiply-add metric, single-operation metrics, operations of one multiply-add thread instruction). An FP16
# instruction works on two values. Names: Nsight Compute, section SpeedOfLight_RooflineChart.
_SCALAR = (
    ("FP64", "dfma", ("dadd", "dmul"), 2),
    ("FP32", "ffma", ("fadd", "fmul"), 2),
    ("FP16", "hfma", ("hadd", "hmul"), 4),
)
_TENSOR = re.compile(r"sm__ops_path_tensor_src_(\w+?)(?:_dst_\w+?)?(?:_sparsity_(?:on|off))?\.sum\.per_second$")
_MIN_SHARE = 0.005  # of the peak: less is side work
_MOVES = 0.05  # of the peak: HFMA2 alone up to here is the compiler moving constants, not FP16 arithmetic


@dataclass(frozen=True)
class Point:
    """One precision: achieved and peak operations per second, operations per byte of device memory."""

    precision: str
    achieved: float
    peak: float
    intensity: float

    def roof(self, bandwidth: float) -> float:
        """What is attainable at this intensity."""
        return min(self.peak, self.intensity * bandwidth)


@dataclass(frozen=True)
class Roofs:
    """Device memory bandwidth in bytes per second at the launch's memory clock, and the precisions that ran, busiest first."""

    bandwidth: float
    points: tuple[Point, ...]


def roofs(kernel: Kernel) -> Roofs | None:
    """None when the roofline sections were not collected or no floating-point work ran."""
    moved = kernel.number("dram__bytes.sum.per_second")
    per_cycle, clock = kernel.number("dram__bytes.sum.peak_sustained"), kernel.number("dram__cycles_elapsed.avg.per_second")
    if not moved or not per_cycle or not clock:
        return None
    rates = [*_scalar(kernel), *_tensor(kernel)]
    points = [Point(name, achieved, peak, achieved / moved) for name, achieved, peak in rates if peak and achieved]
    points.sort(key=lambda point: -point.achieved / point.peak)
    main = [point for point in points if point.achieved >= _MIN_SHARE * point.peak] or [
        point for point in points if point.precision == "FP32"
    ]
    return Roofs(per_cycle * clock, tuple(main[:4])) if main else None


def _scalar(kernel: Kernel) -> list[tuple[str, float, float]]:
    sm, smsp = kernel.number("sm__cycles_elapsed.avg.per_second"), kernel.number("smsp__cycles_elapsed.avg.per_second")
    found = []
    for label, fused, singles, operations in _SCALAR:
        peak = kernel.number(f"sm__sass_thread_inst_executed_op_{fused}_pred_on.sum.peak_sustained")
        rates = [kernel.number(f"smsp__sass_thread_inst_executed_op_{name}_pred_on.sum.per_cycle_elapsed") for name in (fused, *singles)]
        clock = smsp or sm
        if peak and clock and rates[0] is not None:
            if label == "FP16" and not any(rates[1:]) and (rates[0] or 0.0) < _MOVES * peak:
                continue
            done = operations * rates[0] + operations / 2 * sum(rate or 0.0 for rate in rates[1:])
            found.append((label, done * clock, operations * peak * (sm or clock)))
    return found


def _tensor(kernel: Kernel) -> list[tuple[str, float, float]]:
    found = []
    for name in kernel.metric_names:
        match = _TENSOR.match(name)
        achieved = kernel.number(name) if match else None
        if match and achieved:
            peak = kernel.number(name.replace(".sum.per_second", ".sum.peak_sustained_elapsed.per_second"))
            found.append((f"tensor {match[1].upper()}", achieved, peak or 0.0))
    return found

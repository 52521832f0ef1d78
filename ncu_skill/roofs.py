"""Roofs: rate and dense peak per precision and the bandwidth of device memory of one launch; the one source for `analyse` and the page."""

from __future__ import annotations

import re
from typing import NamedTuple

from ncu_skill import names
from ncu_skill.report import Kernel

# (precision, multiply-add, single operations, operations of one multiply-add instruction); an FP16 instruction works on two values,
# the packed FP32 instructions of sm_100 too. Metric names: Nsight Compute, section SpeedOfLight_RooflineChart.
SCALAR = (
    ("FP64", "dfma", ("dadd", "dmul"), 2),
    ("FP32", "ffma", ("fadd", "fmul"), 2),
    ("FP32 packed", "ffma2", ("fadd2", "fmul2"), 4),
    ("FP16", "hfma", ("hadd", "hmul"), 4),
)
TENSOR = ("FP16", "BF16", "TF32", "FP8", "FP4", "FP64", "INT8", "INT4", "INT1")
ORDINARY, TENSOR_CORES = "ordinary pipes", "tensor cores"
_TENSOR = re.compile(r"sm__ops_path_tensor_(op_\w+?_)?src_([a-z0-9]+?)(?:_dst_\w+?)?(?:_sparsity_(on|off))?\.sum\.per_second$")
_MIN_SHARE = 0.005  # of the peak: less is side work
_MOVES = 0.05  # of the peak: HFMA2 alone up to here is the compiler moving constants, not FP16 arithmetic
_MAX_POINTS = 4


class Rate(NamedTuple):
    """One precision on one path: operations per second achieved and at the roof; both None where `state` says why.

    `state` is executed, zero, not-collected or not-on-this-chip. `moves` marks FP16 work that is nothing but HFMA2 at a low rate.
    The peak is that of dense operands, unless instructions with structured sparsity ran.
    """

    precision: str
    path: str
    state: str
    achieved: float | None = None
    peak: float | None = None
    moves: bool = False


class Point(NamedTuple):
    """One precision that ran: achieved and peak operations per second, operations per byte of device memory."""

    precision: str
    achieved: float
    peak: float
    intensity: float

    def roof(self, bandwidth: float) -> float:
        """What is attainable at this intensity."""
        return min(self.peak, self.intensity * bandwidth)


class Roofs(NamedTuple):
    """Device memory bandwidth in bytes per second at the launch's memory clock, and the precisions that ran, busiest first."""

    bandwidth: float
    points: tuple[Point, ...]


def rates(kernel: Kernel) -> list[Rate]:
    """Every precision on the ordinary pipes, then on tensor cores."""
    measures = _tensor_measures(kernel)
    return [*(_scalar(kernel, *row) for row in SCALAR), *(_tensor(kernel, precision, measures) for precision in TENSOR)]


def roofs(kernel: Kernel) -> Roofs | None:
    """What a roofline shows; None when its sections were not collected or no arithmetic worth a roof ran."""
    moved = kernel.number("dram__bytes.sum.per_second")
    per_cycle, clock = kernel.number("dram__bytes.sum.peak_sustained"), kernel.number("dram__cycles_elapsed.avg.per_second")
    if not moved or not per_cycle or not clock:
        return None
    points = [
        Point(f"tensor {rate.precision}" if rate.path == TENSOR_CORES else rate.precision, rate.achieved, rate.peak, rate.achieved / moved)
        for rate in rates(kernel)
        if rate.achieved and rate.peak and not rate.moves
    ]
    points.sort(key=lambda point: -point.achieved / point.peak)
    main = [point for point in points if point.achieved >= _MIN_SHARE * point.peak] or [
        point for point in points if point.precision == "FP32"
    ]
    return Roofs(per_cycle * clock, tuple(main[:_MAX_POINTS])) if main else None


def _scalar(kernel: Kernel, precision: str, fused: str, singles: tuple[str, ...], operations: int) -> Rate:
    stem = "smsp__sass_thread_inst_executed_op_{}_pred_on.sum.per_cycle_elapsed"
    counts = [kernel.number(stem.format(name)) for name in (fused, *singles)]
    clock = kernel.number("smsp__cycles_elapsed.avg.per_second") or kernel.number("sm__cycles_elapsed.avg.per_second")
    if counts[0] is None or clock is None:
        return Rate(precision, ORDINARY, _why(kernel, stem.format(fused)))
    single = sum(count or 0.0 for count in counts[1:])
    done = operations * counts[0] + operations / 2 * single
    per_cycle = kernel.number(f"sm__sass_thread_inst_executed_op_{fused}_pred_on.sum.peak_sustained")
    peak = operations * per_cycle * (kernel.number("sm__cycles_elapsed.avg.per_second") or clock) if per_cycle else None
    moves = precision == "FP16" and not single and peak is not None and done * clock < _MOVES * peak
    return Rate(precision, ORDINARY, _state(done), done * clock, peak, moves)


class _Measure(NamedTuple):
    """One metric of tensor operations; `part` of those that count one instruction family only, `sparsity` on, off or empty."""

    part: bool
    precision: str
    sparsity: str
    rate: float
    peak: float


def _tensor_measures(kernel: Kernel) -> list[_Measure]:
    found = []
    for name in kernel.metric_names:
        match = _TENSOR.match(name) if name.endswith(".sum.per_second") and name.startswith("sm__ops_path_tensor_") else None
        if match is not None:
            peak = kernel.number(f"{name.removesuffix('.per_second')}.peak_sustained_elapsed.per_second")
            found.append(_Measure(bool(match[1]), match[2].upper(), match[3] or "", kernel.number(name) or 0.0, peak or 0.0))
    return found


def _tensor(kernel: Kernel, precision: str, measures: list[_Measure]) -> Rate:
    """Peaks of metrics without a sparsity suffix count structured sparsity, twice the dense rate: dense ones stand under sparsity_off."""
    own = [measure for measure in measures if measure.precision == precision]
    whole = [measure for measure in own if not measure.part]
    if not whole:
        return Rate(precision, TENSOR_CORES, _why(kernel, f"sm__ops_path_tensor_src_{precision.lower()}.sum.per_second"))
    counted = [measure for measure in whole if not measure.sparsity] or whole
    total = sum(measure.rate for measure in counted)
    sparse = any(measure.rate for measure in own if measure.sparsity == "on")
    dense = max((measure.peak for measure in own if measure.sparsity == "off"), default=0.0)
    busiest = max(counted, key=lambda measure: (measure.rate, measure.peak))
    return Rate(precision, TENSOR_CORES, _state(total), total, (busiest.peak if sparse else dense or busiest.peak) or None)


def _state(value: float) -> str:
    return "executed" if value else "zero"


def _why(kernel: Kernel, name: str) -> str:
    return "not-on-this-chip" if names.exists_on(name, kernel.device.chip) is False else "not-collected"

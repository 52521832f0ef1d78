"""Roofline: work, rate and peak per precision, on the ordinary pipes and on tensor cores, against device memory traffic."""

from __future__ import annotations

import re
from typing import Any

from ncu_skill import names
from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

# (precision, multiply-add, single operations, operations of one multiply-add instruction); an FP16 instruction works on two values,
# the packed FP32 instructions of sm_100 too.
SCALAR = (
    ("FP64", "dfma", ("dadd", "dmul"), 2),
    ("FP32", "ffma", ("fadd", "fmul"), 2),
    ("FP32 packed", "ffma2", ("fadd2", "fmul2"), 4),
    ("FP16", "hfma", ("hadd", "hmul"), 4),
)
TENSOR = ("FP16", "BF16", "TF32", "FP8", "FP4", "FP64", "INT8", "INT4", "INT1")
# Peaks of names without a sparsity suffix count structured sparsity: twice the dense rate. Dense peaks stand under sparsity_off.
_DENSE = re.compile(
    r"sm__ops_path_tensor_(?:op_\w+?_)?src_([a-z0-9]+?)(?:_dst_\w+?)?_sparsity_off\.sum\.peak_sustained_elapsed\.per_second$"
)
_TENSOR = re.compile(r"sm__ops_path_tensor_src_([a-z0-9]+?)(?:_dst_\w+?)?(?:_sparsity_(on|off))?\.sum\.per_second$")


def table(kernel: Kernel, facts: Facts, samples: Samples) -> list[dict[str, Any]]:
    """Rows {precision, path, state, ops_per_second, peak_ops_per_second, peak_pct, ops_per_byte}.

    `state` tells executed, zero, not-collected and not-on-this-chip apart.
    """
    moved = kernel.number("dram__bytes.sum.per_second")
    found = [_scalar(kernel, *row) for row in SCALAR]
    found += [_tensor(kernel, precision) for precision in TENSOR]
    for row in found:
        rate, peak = row.get("ops_per_second"), row.get("peak_ops_per_second")
        row["peak_pct"] = round(100 * rate / peak, 2) if rate is not None and peak else None
        row["ops_per_byte"] = round(rate / moved, 3) if rate and moved else None
    return found


def _scalar(kernel: Kernel, precision: str, fused: str, singles: tuple[str, ...], operations: int) -> dict[str, Any]:
    stem = "smsp__sass_thread_inst_executed_op_{}_pred_on.sum.per_cycle_elapsed"
    rates = [kernel.number(stem.format(name)) for name in (fused, *singles)]
    clock = kernel.number("smsp__cycles_elapsed.avg.per_second") or kernel.number("sm__cycles_elapsed.avg.per_second")
    row: dict[str, Any] = {"precision": precision, "path": "ordinary pipes"}
    if rates[0] is None or clock is None:
        return row | {"state": _why(kernel, stem.format(fused))}
    done = operations * rates[0] + operations / 2 * sum(rate or 0.0 for rate in rates[1:])
    peak = kernel.number(f"sm__sass_thread_inst_executed_op_{fused}_pred_on.sum.peak_sustained")
    sm_clock = kernel.number("sm__cycles_elapsed.avg.per_second") or clock
    return row | {
        "state": _state(done),
        "ops_per_second": done * clock,
        "peak_ops_per_second": operations * peak * sm_clock if peak else None,
    }


def _tensor(kernel: Kernel, precision: str) -> dict[str, Any]:
    dense = [kernel.number(name) or 0.0 for name in kernel.metric_names if (match := _DENSE.match(name)) and match[1].upper() == precision]
    best: tuple[float, float | None] | None = None
    total = 0.0
    for name in kernel.metric_names:
        match = _TENSOR.match(name)
        if match is None or match[1].upper() != precision or match[2] == "on":
            continue
        rate = kernel.number(name) or 0.0
        peak = kernel.number(name.replace(".sum.per_second", ".sum.peak_sustained_elapsed.per_second"))
        total += rate
        if best is None or rate > best[0] or (rate == best[0] and (peak or 0) > (best[1] or 0)):
            best = (rate, peak)
    row: dict[str, Any] = {"precision": precision, "path": "tensor cores"}
    if best is None:
        return row | {"state": _why(kernel, f"sm__ops_path_tensor_src_{precision.lower()}.sum.per_second")}
    return row | {"state": _state(total), "ops_per_second": total, "peak_ops_per_second": max(dense, default=0.0) or best[1]}


def _state(value: float) -> str:
    return "executed" if value else "zero"


def _why(kernel: Kernel, name: str) -> str:
    return "not-on-this-chip" if names.exists_on(name, kernel.device.chip) is False else "not-collected"

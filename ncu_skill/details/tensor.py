"""Tensor: TMA, tensor memory, tcgen05, wgmma and the old warp-wide path, each with what this chip and this report can say about it."""

from __future__ import annotations

from typing import Any

from ncu_skill.facts import Facts, ask
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

METRICS = (
    ("tensor pipe", "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active"),
    ("tcgen05 pipe", "sm__pipe_tc_cycles_active.avg.pct_of_peak_sustained_active"),
    ("tcgen05 products", "sm__sass_inst_executed_op_utcmma.sum"),
    ("tcgen05 copies", "sm__sass_inst_executed_op_utccp.sum"),
    ("tensor memory loads", "sm__sass_inst_executed_op_tmem_ldt.sum"),
    ("tensor memory stores", "sm__sass_inst_executed_op_tmem_stt.sum"),
    ("tensor memory bytes allocated", "sm__mem_tensor_bytes_allocated.sum"),
    ("tensor memory active", "sm__mem_tensor_cycles_active.avg.pct_of_peak_sustained_active"),
    ("wgmma instructions", "sm__inst_executed_pipe_tensor_op_gmma.avg.pct_of_peak_sustained_active"),
    ("wgmma waits", "smsp__average_warps_issue_stalled_gmma_per_issue_active.ratio"),
    ("TMA loads", "smsp__sass_inst_executed_op_tma_ld.sum"),
    ("TMA stores", "smsp__sass_inst_executed_op_tma_st.sum"),
    ("TMA pipe", "sm__pipe_tma_cycles_active.avg.pct_of_peak_sustained_active"),
    ("cluster launch control requests", "gr__workids_requested.sum"),
)
PATHS = {
    "mma.sync (old path)": "mix_tensor_legacy",
    "wgmma or tcgen05": "mix_tensor_new",
    "FP64 (DMMA)": "mix_tensor_fp64",
    "TMA": "mix_tma",
}


def table(kernel: Kernel, facts: Facts, samples: Samples) -> dict[str, Any]:
    """{paths, metrics}: parts of the executed instructions, and per metric {what, metric, state, value?, unit?, hint?}."""
    return {
        "paths": {label: round(facts.number(fact), 5) for label, fact in PATHS.items() if fact in facts},
        "metrics": [_row(kernel, what, name) for what, name in METRICS],
    }


def _row(kernel: Kernel, what: str, name: str) -> dict[str, Any]:
    other = name.replace("sm__sass_", "smsp__sass_")  # reports hold the count of the SMs or that of their sub-partitions; the sum is one
    if name not in kernel and other in kernel:
        name = other
    if name in kernel:
        value = kernel.number(name)
        return {"what": what, "metric": name, "state": "zero" if value == 0 else "collected", "value": value}
    answer = ask(kernel, name)
    return {"what": what, "metric": name, "state": answer.state, "hint": answer.hint}

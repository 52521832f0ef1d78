"""Warp states: what warps wait for, as parts of the time between two instructions, and the latency that is left to hide."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import RENAMED, Samples

STATES = (
    "barrier", "branch_resolving", "dispatch_stall", "drain", "gmma", "imc_miss", "lg_throttle", "long_scoreboard", "math_pipe_throttle",
    "membar", "mio_throttle", "misc", "no_instruction", "not_selected", "selected", "short_scoreboard", "sleeping", "tex_throttle", "wait",
)  # fmt: skip
_NAME = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds stall_<state> (part of warp time, 0 to 1) from the counters, else from the samples; lane_waste and predicated_waste."""
    ratios = {state: kernel.number(_NAME.format(state)) for state in STATES}
    known = {state: value for state, value in ratios.items() if value is not None}
    total = sum(known.values())
    if total > 0:
        for state, value in known.items():
            facts.add(f"stall_{state}", value / total, "of warp time", _NAME.format(state))
    elif samples.total:
        for state in samples.by_stall:
            facts.add(f"stall_{RENAMED.get(state, state)}", samples.share(state), "of samples", f"smsp__pcsamp_warps_issue_stalled_{state}")
    facts.add("samples", samples.total or None, "sample", "smsp__pcsamp_sample_count")
    lanes = facts.get("lanes")
    if lanes is not None:
        facts.add("lane_waste", 1 - lanes / 32, "of lanes", "1 - smsp__thread_inst_executed_per_inst_executed / 32")
    on = facts.get("lanes_predicated")
    if on is not None:
        facts.add("predicated_waste", 1 - on / 32, "of lanes", "1 - smsp__thread_inst_executed_pred_on_per_inst_executed / 32")
    waits = (
        "long_scoreboard",
        "short_scoreboard",
        "barrier",
        "wait",
        "membar",
        "sleeping",
        "no_instruction",
        "branch_resolving",
        "drain",
        "imc_miss",
    )
    facts.add(
        "latency_share",
        sum(facts.number(f"stall_{state}") for state in waits),
        "of warp time",
        "sum of stall reasons that wait for latency",
    )

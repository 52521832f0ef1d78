"""Atomics: how many run, where, and how much time is spent behind them."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

SCOREBOARDS = ("long_scoreboard", "short_scoreboard")
HOT_SLICE = 4.0  # times the sectors of the average slice
HOT_UNIT_PCT = 15.0  # float atomics saturate their unit at about 33 %, integers at about 80 %


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds mix_atomic, atomic_hot (one L2 slice does the work of all) and atomic_wait (part of samples at or behind an atomic)."""
    used = facts.number("mix_atomic_global") + facts.number("mix_atomic_shared")
    facts.add("mix_atomic", used, "of instructions", "executed ATOM, RED, ATOMS")
    lopsided = used >= 0.005 and facts.number("l2_slice_ratio") >= HOT_SLICE
    hot = lopsided and facts.number("l2_atomic_max_pct", 100.0) >= HOT_UNIT_PCT
    facts.add("atomic_hot", float(hot), "", "atomics run and one L2 slice works far more than the others")
    if not used or not samples.total:
        return
    stalls = [stall for stall in samples.by_stall if stall not in {"selected", "not_selected"}]
    waiting = sum(share for stall in stalls for pc, share in samples.hottest(stall, limit=12) if _behind_atomic(samples, pc, stall))
    facts.add("atomic_wait", waiting, "of samples", "samples at or behind atomic instructions")


def _behind_atomic(samples: Samples, pc: int, stall: str) -> bool:
    instruction = samples.code.get(pc)
    if instruction is None:
        return False
    if instruction.kind.startswith("atomic"):
        return True
    return stall in SCOREBOARDS and any(producer.kind.startswith("atomic") for producer in samples.producers(pc, stall))

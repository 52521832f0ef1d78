"""Asynchronous copies: LDGSTS and TMA in use, and how long warps wait for them."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

WAITS = ("long_scoreboard", "short_scoreboard", "wait", "branch_resolving", "sleeping", "membar")
SCOREBOARDS = ("long_scoreboard", "short_scoreboard")
COPIES = frozenset({"async-copy", "tma-load", "mbarrier"})


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds uses_async and async_wait (part of samples that wait for a copy to land)."""
    used = facts.number("mix_async_copy") + facts.number("mix_tma")
    facts.add("uses_async", float(used > 0), "", "executed LDGSTS, UTMALDG, UBLKCP")
    if used and not samples.code:
        part = used / (used + facts.number("mix_load_global"))
        facts.add("async_wait", part * facts.number("stall_long_scoreboard"), "of warp time", "long scoreboard x part of the copies")
    if not used or not samples.total or not samples.code:
        return
    waiting = sum(share for stall in WAITS for pc, share in samples.hottest(stall, limit=16) if _waits_for_copy(samples, pc, stall))
    facts.add("async_wait", waiting, "of samples", "samples at the wait for asynchronous copies")


def _waits_for_copy(samples: Samples, pc: int, stall: str) -> bool:
    instruction = samples.code.get(pc)
    if instruction is None:
        return False
    if instruction.kind in {"async-wait", "mbarrier"}:
        return True
    return stall in SCOREBOARDS and any(producer.kind in COPIES for producer in samples.producers(pc, stall))

"""Code: patterns in the SASS around the hot spots: pointer chases, what long waits wait for, code size."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples
from ncu_skill.trace import MAX_CHAIN

INSTRUCTION_BYTES = 16


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds wait_<producer class>, local_wait, pointer_chase and indirect_loads (parts of samples), and code_bytes."""
    executed = kernel.per_pc("inst_executed")
    if executed:
        facts.add("code_bytes", INSTRUCTION_BYTES * sum(1 for count in executed.values() if count), "byte", "executed PCs x 16")
    if not samples.total or not samples.code:
        return
    for stall in ("long_scoreboard", "short_scoreboard"):
        for kind, share in samples.share_by_producer(stall).items():
            key = f"wait_{kind.replace('-', '_')}"
            facts.add(key, facts.number(key) + share, "of samples", f"{stall} samples traced to their producers")
    facts.add("local_wait", _local_wait(samples), "of samples", "samples at LDL, STL and at what waits for LDL")
    chased = indirect = 0.0
    for pc, share in samples.hottest("long_scoreboard", limit=16):
        for producer in samples.producers(pc, "long_scoreboard")[:2]:
            if producer.kind == "load-global":
                if samples.flow.in_pointer_chase(producer.pc) or samples.flow.chain_length(producer.pc) >= MAX_CHAIN:
                    chased += share
                    break
                if any(item.kind == "load-global" for item in samples.flow.loads_behind_address(producer.pc)):
                    indirect += share
                    break
    facts.add("pointer_chase", chased, "of samples", "long waits on a load whose address comes, through loads, from itself or three others")
    facts.add("indirect_loads", indirect, "of samples", "long waits on a load whose address comes from another load")


def _local_wait(samples: Samples) -> float:
    waiting = 0.0
    for stall in samples.by_stall:
        for pc, share in samples.hottest(stall, limit=48):
            instruction = samples.code.get(pc)
            local = instruction is not None and instruction.kind in {"load-local", "store-local"}
            if local or (stall == "long_scoreboard" and any(p.kind == "load-local" for p in samples.producers(pc, stall))):
                waiting += share
    return waiting

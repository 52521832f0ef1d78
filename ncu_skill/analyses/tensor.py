"""Tensor: which tensor path runs, how busy it is, and whether a matrix product runs without it."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds uses_tensor, tensor_legacy_only and flops_per_dram_byte (FP32 and FP16 lanes on the ordinary pipes)."""
    legacy, new, double = (facts.number(f"mix_{name}") for name in ("tensor_legacy", "tensor_new", "tensor_fp64"))
    busy = "mix_ffma" not in facts and facts.number("tensor_pct") > 5
    facts.add("uses_tensor", float(legacy + new + double > 0 or busy), "", "executed tensor opcodes")
    facts.add("tensor_legacy_only", float(legacy > 0 and new == 0), "", "HMMA/IMMA without HGMMA/UTCMMA")
    instructions, moved = facts.get("instructions"), facts.get("dram_bytes")
    if instructions and moved:
        lanes = facts.number("lanes", 32)
        flops = instructions * lanes * (2 * facts.number("mix_ffma") + 4 * facts.number("mix_fp16"))
        facts.add("flops_per_dram_byte", flops / moved, "flop/byte", "multiply-add lanes x 2 / DRAM bytes")

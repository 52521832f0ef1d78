"""Instructions: the executed mix by opcode and how much of each pipe it needs."""

from __future__ import annotations

from collections import defaultdict

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

GROUPS = {
    "mufu": ("MUFU",),
    "convert": ("F2F", "I2F", "F2I", "I2FP", "FRND", "F2FP", "F2IP", "I2IP", "UF2F", "UI2F", "UF2I"),
    "fp64": ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX"),
    "fp32": ("FFMA", "FMUL", "FADD", "FFMA2", "FMUL2", "FADD2", "FMNMX", "FSETP", "FSEL", "FMNMX3", "FADD32I", "FFMA32I", "FMUL32I"),
    "ffma": ("FFMA", "FFMA2", "FFMA32I"),
    "fp16": ("HFMA2", "HADD2", "HMUL2", "HMNMX2", "HSET2", "HSETP2"),
    "integer": (
        "IMAD", "IADD3", "IADD", "VIADD", "LOP3", "LOP", "SHF", "SHL", "SHR", "LEA", "ISETP", "IABS", "IMNMX", "VIMNMX", "VIMNMX3", "IDP",
        "PRMT", "POPC", "FLO", "BREV", "BMSK", "SGXT", "UIADD3", "UIMAD", "ULOP3", "USHF", "UISETP", "ULEA", "XMAD", "VABSDIFF",
        "VABSDIFF4", "IMUL", "IADD32I",
    ),
    "tensor_legacy": ("HMMA", "IMMA", "BMMA", "QMMA", "OMMA"),
    "tensor_fp64": ("DMMA",),
    "tensor_new": ("HGMMA", "IGMMA", "QGMMA", "BGMMA", "UTCHMMA", "UTCQMMA", "UTCIMMA", "UTCOMMA"),
    "load_global": ("LDG", "LD"),
    "store_global": ("STG", "ST"),
    "load_shared": ("LDS", "LDSM"),
    "store_shared": ("STS", "STSM"),
    "local": ("LDL", "STL"),
    "atomic_global": ("ATOM", "ATOMG", "RED", "REDG"),
    "atomic_shared": ("ATOMS",),
    "async_copy": ("LDGSTS",),
    "tma": ("UTMALDG", "UBLKCP", "UTMASTG", "UTMAREDG", "UBLKRED"),
    "barrier": ("BAR",),
    "branch": ("BRA", "BRX", "BSSY", "BSYNC", "CALL", "RET", "WARPSYNC", "JMP"),
}  # fmt: skip
PER_OPCODE = "sass__inst_executed_per_opcode"


def mix(kernel: Kernel, samples: Samples) -> dict[str, float]:
    """{opcode: executed warp instructions}, from the per-opcode metric, else from per-PC counts and the code."""
    values, names = kernel.instances(PER_OPCODE)
    if names:
        return {str(name): float(value) for name, value in zip(names, values, strict=True) if not isinstance(value, str)}
    found: dict[str, float] = defaultdict(float)
    for pc, count in kernel.per_pc("inst_executed").items():
        if pc in samples.code:
            found[samples.code[pc].opcode] += count
    return dict(found)


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds mix_<group> (part of executed instructions) and integer_share_alu, xu shares."""
    counts = mix(kernel, samples)
    total = sum(counts.values())
    if not total:
        return
    sums = {group: sum(counts.get(opcode, 0.0) for opcode in set(opcodes)) for group, opcodes in GROUPS.items()}
    moves = _multiply_moves(kernel)
    sums["integer"] = max(0.0, sums["integer"] - moves)
    for group, count in sums.items():
        facts.add(f"mix_{group}", count / total, "of instructions", PER_OPCODE)
    xu = sums["mufu"] + sums["convert"]
    if xu:
        facts.add("mufu_of_xu", sums["mufu"] / xu, "of XU instructions", PER_OPCODE)
    loads = sums["load_global"] + sums["load_shared"]
    if sums["ffma"] + sums["fp16"]:
        facts.add("loads_per_fma", loads / (sums["ffma"] + sums["fp16"]), "load/fma", PER_OPCODE)
    doubles = sum(counts.get(opcode, 0.0) for opcode in ("DADD", "DMUL", "DFMA"))
    if sums["convert"]:
        facts.add("convert_per_double", counts.get("F2F", 0.0) / max(doubles, 1.0), "conversion/double op", PER_OPCODE)


def _multiply_moves(kernel: Kernel) -> float:
    """IMAD used as a register move, which is no integer work."""
    values, names = kernel.instances(f"{PER_OPCODE}_with_modifier_all")
    return sum(
        float(v)
        for v, n in zip(values, names, strict=True)
        if str(n).startswith(("IMAD.MOV", "IMAD.SHL", "IMAD.IADD")) and not isinstance(v, str)
    )

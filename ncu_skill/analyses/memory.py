"""Memory: sectors asked for against sectors needed, access widths, shared memory wavefronts, local traffic and reuse."""

from __future__ import annotations

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

SECTOR_BYTES, LANES = 32, 32
WIDTHS = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128}


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    _global_excess(kernel, facts)
    _widths(kernel, facts, samples)
    _excess_by_requests(facts)
    _shared(kernel, facts)
    _local(facts)
    needed = sum(kernel.per_pc("memory_l2_theoretical_sectors_global_ideal").values()) * SECTOR_BYTES
    read, written = facts.get("dram_read_bytes"), facts.get("dram_write_bytes")
    if read is not None and written is not None:
        facts.add("dram_bytes", read + written, "byte", "dram__bytes_read.sum + dram__bytes_write.sum")
        if needed and read + written:
            facts.add("ideal_dram_share", min(1.0, needed / (read + written)), "of DRAM bytes", "bytes of coalesced accesses / DRAM bytes")
        asked = SECTOR_BYTES * (facts.number("global_load_sectors") + facts.number("global_store_sectors"))
        near = asked + 4 * SECTOR_BYTES * facts.number("shared_wavefronts")
        facts.add(
            "l1_or_shared_reuse", near / max(read + written, SECTOR_BYTES), "times", "bytes asked of L1 and shared memory / DRAM bytes"
        )
        if asked:
            facts.add("l1_reuse", asked / max(read + written, SECTOR_BYTES), "times", "sectors asked of L1 / DRAM bytes")


def _global_excess(kernel: Kernel, facts: Facts) -> None:
    """excess_sectors: part of the global sectors that a coalesced access of the same width would not touch."""
    touched = kernel.per_pc("memory_l2_theoretical_sectors_global")
    ideal = kernel.per_pc("memory_l2_theoretical_sectors_global_ideal")
    total = sum(touched.values())
    if total:
        excess = sum(max(0.0, count - ideal.get(pc, count)) for pc, count in touched.items())
        facts.add("excess_sectors", excess / total, "of sectors", "1 - memory_l2_theoretical_sectors_global_ideal / …_global")
    elif facts.get("load_bytes_per_sector") or facts.get("store_bytes_per_sector"):
        loads, stores = facts.number("global_load_sectors"), facts.number("global_store_sectors")
        used = loads * facts.number("load_bytes_per_sector", 32) + stores * facts.number("store_bytes_per_sector", 32)
        if loads + stores:
            facts.add(
                "excess_sectors", max(0.0, 1 - used / (SECTOR_BYTES * (loads + stores))), "of sectors", "1 - data bytes per sector / 32"
            )
    for kind in ("load", "store"):
        sectors, requests = facts.get(f"global_{kind}_sectors"), facts.get(f"global_{kind}_requests")
        if sectors is not None and requests:
            facts.add(f"sectors_per_{kind}", sectors / requests, "sector/request", f"global {kind} sectors / requests")


def _excess_by_requests(facts: Facts) -> None:
    """excess_sectors without per-PC counts: sectors per request against what the average access width needs."""
    bits = facts.get("access_bits")
    sectors = facts.number("global_load_sectors") + facts.number("global_store_sectors")
    requests = facts.number("global_load_requests") + facts.number("global_store_requests")
    if "excess_sectors" not in facts and bits and sectors and requests:
        needed = requests * max(1.0, bits * LANES / 8 / SECTOR_BYTES)
        facts.add("excess_sectors", max(0.0, 1 - needed / sectors), "of sectors", "1 - requests x access width / sectors")


def _widths(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Executed global accesses by width of one thread's access."""
    executed = kernel.per_pc("inst_executed")
    total = narrow = weighted = scalar = 0.0
    for pc, instruction in samples.code.items():
        if instruction.kind in {"load-global", "store-global"} and executed.get(pc):
            total += executed[pc]
            weighted += executed[pc] * instruction.width_bits
            narrow += executed[pc] * (instruction.width_bits <= 16)
            scalar += executed[pc] * (instruction.width_bits <= 32)
    if not samples.code:
        sizes = {pc: bits for pc, bits in kernel.per_pc("memory_access_size_type").items() if bits}
        counts = [(executed.get(pc, 0.0), bits) for pc, bits in sizes.items()] or _by_opcode(kernel)
        for count, bits in counts:
            total += count
            weighted += count * bits
            narrow += count * (bits <= 16)
            scalar += count * (bits <= 32)
    if total:
        facts.add("access_bits", weighted / total, "bit/thread", "access width of executed global loads and stores")
        facts.add("narrow_share", narrow / total, "of global accesses", "executed global accesses of 8 or 16 bits")
        facts.add("scalar_share", scalar / total, "of global accesses", "executed global accesses of 32 bits or less")
        instructions = facts.get("instructions")
        if instructions:
            facts.add("access_share", total / instructions, "of instructions", "executed global loads and stores / instructions")


def _by_opcode(kernel: Kernel) -> list[tuple[float, float]]:
    """(executions, bits) of global accesses by the modifiers of their opcodes, for reports without per-PC counts."""
    counts, names = kernel.instances("sass__inst_executed_per_opcode_with_modifier_all")
    found = []
    for count, name in zip(counts, names, strict=True):
        opcode, *modifiers = str(name).split(".")
        if opcode in {"LDG", "STG"} and not isinstance(count, str):
            bits = next((WIDTHS[word] for word in modifiers if word in WIDTHS), 32)
            found.append((float(count), float(bits)))
    return found


def _shared(kernel: Kernel, facts: Facts) -> None:
    """shared_excess: part of shared memory wavefronts that bank conflicts add."""
    touched = kernel.per_pc("memory_l1_wavefronts_shared")
    ideal = kernel.per_pc("memory_l1_wavefronts_shared_ideal")
    total = sum(touched.values())
    if total:
        excess = sum(max(0.0, count - ideal.get(pc, count)) for pc, count in touched.items())
        facts.add("shared_excess", excess / total, "of wavefronts", "1 - memory_l1_wavefronts_shared_ideal / …_shared")
    else:
        wavefronts, conflicts = facts.get("shared_wavefronts"), facts.get("shared_conflicts")
        if wavefronts and conflicts is not None:
            facts.add("shared_excess", conflicts / wavefronts, "of wavefronts", "bank conflicts / wavefronts")


def _local(facts: Facts) -> None:
    """local_share: local memory's part of the sectors that the SM asks for."""
    local = facts.number("local_load_sectors") + facts.number("local_store_sectors")
    everything = local + facts.number("global_load_sectors") + facts.number("global_store_sectors")
    if everything:
        facts.add("local_share", local / everything, "of sectors", "local sectors / (local + global sectors)")
        facts.add("local_sectors", local, "sector", "local load and store sectors")

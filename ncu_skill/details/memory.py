"""Memory tables: requests and sectors of every kind of access, against the sectors that its width needs."""

from __future__ import annotations

from typing import Any

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

L1 = "l1tex__t_{}_pipe_lsu_mem_{}_op_{}"
ACCESSES = (
    ("global load", "global", "ld", "load-global"),
    ("global store", "global", "st", "store-global"),
    ("global atomic", "global", "atom", "atomic-global"),
    ("global reduction", "global", "red", "atomic-global"),
    ("local load", "local", "ld", "load-local"),
    ("local store", "local", "st", "store-local"),
)
LDGSTS = "sm__sass_l1tex_t_{}_pipe_lsu_mem_global_op_ldgsts_cache_{}.sum"
COPIES = (("async copy past L1", "bypass"), ("async copy through L1", "access"))
TMA = (
    ("TMA load", "smsp__sass_inst_executed_op_tma_ld.sum", "l1tex__m_xbar2l1tex_read_bytes_mem_global_op_tma_ld.sum"),
    ("TMA store", "smsp__sass_inst_executed_op_tma_st.sum", "l1tex__m_l1tex2xbar_write_bytes_mem_global_op_tma_st.sum"),
    ("TMA reduction", "smsp__sass_inst_executed_op_tma_red.sum", "l1tex__m_l1tex2xbar_write_bytes_mem_global_op_tma_red.sum"),
)
SHARED = ("ld", "st", "atom", "ldgsts")
SECTOR_BYTES = 32


def table(kernel: Kernel, facts: Facts, samples: Samples) -> dict[str, Any]:
    """{accesses, shared, copies}: rows per kind of access that ran.

    accesses: requests, sectors, sectors_per_request, needed_per_request (for the executed access widths, all 32 lanes on), hit_pct.
    shared: requests, wavefronts, conflicts. copies: LDGSTS sectors and TMA bytes, which the LSU metrics do not count.
    """
    return {
        "accesses": [row for row in (_access(kernel, samples, entry) for entry in ACCESSES) if row],
        "shared": [row for row in (_shared(kernel, kind) for kind in SHARED) if row],
        "copies": [*_copies(kernel), *_tma(kernel)],
    }


def _access(kernel: Kernel, samples: Samples, entry: tuple[str, str, str, str]) -> dict[str, Any] | None:
    label, space, operation, kind = entry
    sectors, requests = (kernel.number(f"{L1.format(what, space, operation)}.sum") for what in ("sectors", "requests"))
    if not requests or sectors is None:
        return None
    return {
        "access": label,
        "requests": requests,
        "sectors": sectors,
        "sectors_per_request": round(sectors / requests, 2),
        "needed_per_request": needed(kernel, samples, kind),
        "hit_pct": kernel.number(f"l1tex__t_sector_pipe_lsu_mem_{space}_op_{operation}_hit_rate.pct"),
    }


def needed(kernel: Kernel, samples: Samples, kind: str) -> float | None:
    """Sectors per request of coalesced accesses with the executed widths: 32 lanes x width / 32 bytes, at least one."""
    executed = kernel.per_pc("inst_executed")
    total = sectors = 0.0
    for pc, instruction in samples.code.items():
        count = executed.get(pc, 0.0)
        if instruction.kind == kind and instruction.width_bits and count:
            total += count
            sectors += count * max(1.0, 32 * instruction.width_bits / 8 / SECTOR_BYTES)
    return round(sectors / total, 2) if total else None


def _shared(kernel: Kernel, operation: str) -> dict[str, Any] | None:
    wavefronts = kernel.number(f"l1tex__data_pipe_lsu_wavefronts_mem_shared_op_{operation}.sum")
    conflicts = kernel.number(f"l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_{operation}.sum")
    if not wavefronts:
        return None
    requests = kernel.number(f"smsp__inst_executed_op_shared_{operation}.sum")
    row: dict[str, Any] = {"access": f"shared {operation}", "wavefronts": wavefronts, "conflicts": conflicts}
    if requests:
        row |= {"requests": requests, "wavefronts_per_request": round(wavefronts / requests, 2)}
    return row


def _copies(kernel: Kernel) -> list[dict[str, Any]]:
    found = []
    for label, way in COPIES:
        requests, sectors = (kernel.number(LDGSTS.format(what, way)) for what in ("requests", "sectors"))
        if requests and sectors is not None:
            row = {"access": label, "requests": requests, "sectors": sectors, "sectors_per_request": round(sectors / requests, 2)}
            found.append(row)
    return found


def _tma(kernel: Kernel) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for label, instructions_name, bytes_name in TMA:
        instructions, moved = kernel.number(instructions_name), kernel.number(bytes_name)
        if instructions:
            found.append({"access": label, "instructions": instructions, "bytes": moved})
    return found

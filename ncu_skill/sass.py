"""SASS: decodes what the back-trace needs from 128-bit instructions (opcode, scoreboards, access width, branch target)."""

from __future__ import annotations

from functools import cache

from ncu_skill.data import table
from ncu_skill.model import Instruction

_NO_SLOT, _ALWAYS = 7, 7
_WIDTHS = (8, 8, 16, 16, 32, 64, 128, 128)
_MEMORY = frozenset({"load-global", "load-local", "load-shared", "store-global", "store-local", "store-shared", "async-copy"})
_SELECTS = frozenset({"SEL", "FSEL", "FMNMX", "IMNMX", "VIMNMX"})
_COMPARES = frozenset({"ISETP", "FSETP", "DSETP", "HSETP2", "PLOP3", "LOP3"})
RZ = 255


@cache
def _opcodes() -> dict[int, tuple[str, str]]:
    return {int(code): (name, kind) for code, (name, kind) in table("opcodes").items()}


def decode(code: bytes, base_pc: int) -> tuple[Instruction, ...]:
    """The instructions of one function. An unknown opcode is named by its number, never guessed."""
    opcodes = _opcodes()
    found = []
    for at in range(0, len(code) - 15, 16):
        word = int.from_bytes(code[at : at + 16], "little")
        number = word & 0x1FF
        name, kind = opcodes.get(number, (f"OP_{number:#05x}", "other"))
        sets, frees = (word >> 110) & 7, (word >> 113) & 7
        waits = (word >> 116) & 0x3F
        found.append(
            Instruction(
                pc=base_pc + at,
                opcode=name,
                kind=kind,
                destination=(word >> 16) & 0xFF,
                address=(word >> 24) & 0xFF,
                sources=_sources(word),
                offset=_signed(word >> 40, 24) if kind in _MEMORY else (word >> 38) & 63 if name == "DEPBAR" else 0,
                sets_barrier=sets if sets != _NO_SLOT else None,
                frees_barrier=frees if frees != _NO_SLOT else None,
                waits_on=tuple(slot for slot in range(6) if waits >> slot & 1) if waits else (),
                width_bits=_WIDTHS[(word >> 73) & 7] if kind in _MEMORY else 0,
                target=_target(word, base_pc + at) if kind == "branch" or name == "CALL" else None,
                predicated=(word >> 12) & 7 != _ALWAYS,
                guard=(word >> 12) & 7,
                picks_by=(word >> 87) & 7 if name in _SELECTS else _ALWAYS,
                sets_predicate=(word >> 81) & 7 if name in _COMPARES else _ALWAYS,
            )
        )
    return tuple(found)


def _sources(word: int) -> tuple[int, ...]:
    """Registers read as operands a, c, and b where the form has a register there."""
    found = [(word >> 24) & 0xFF, (word >> 64) & 0xFF]
    if (word >> 9) & 7 == 1:
        found.append((word >> 32) & 0xFF)
    return tuple(register for register in found if register != RZ)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _target(word: int, pc: int) -> int:
    return pc + 16 + 4 * (_signed(word >> 34, 48) << 8 | (word >> 16 & 0xFF))

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
_WAITS = tuple(tuple(slot for slot in range(6) if mask >> slot & 1) for mask in range(64))
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
        memory = kind in _MEMORY
        guard = (word >> 12) & 7
        found.append(
            Instruction(  # by position: decoding is a good part of a diagnosis, and keywords double its cost
                base_pc + at,
                name,
                kind,
                (word >> 16) & 0xFF,
                (word >> 24) & 0xFF,
                _sources(word),
                _signed(word >> 40, 24) if memory else (word >> 38) & 63 if name == "DEPBAR" else 0,
                sets if sets != _NO_SLOT else None,
                frees if frees != _NO_SLOT else None,
                _WAITS[(word >> 116) & 0x3F],
                _WIDTHS[(word >> 73) & 7] if memory else 0,
                _target(word, base_pc + at) if kind == "branch" or name == "CALL" else None,
                guard != _ALWAYS,
                guard,
                (word >> 87) & 7 if name in _SELECTS else _ALWAYS,
                (word >> 81) & 7 if name in _COMPARES else _ALWAYS,
            )
        )
    return tuple(found)


def _sources(word: int) -> tuple[int, ...]:
    """Registers read as operands a, c, and b where the form has a register there."""
    found = [(word >> 24) & 0xFF, (word >> 64) & 0xFF]
    if (word >> 9) & 7 == 1:
        found.append((word >> 32) & 0xFF)
    return tuple([register for register in found if register != RZ])


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _target(word: int, pc: int) -> int:
    return pc + 16 + 4 * (_signed(word >> 34, 48) << 8 | (word >> 16 & 0xFF))

"""SASS: decodes what the back-trace needs from 128-bit instructions (opcode, scoreboards, access width, branch target)."""

from __future__ import annotations

import struct
from functools import cache

from ncu_skill.data import table
from ncu_skill.model import Instruction

_NO_SLOT, _ALWAYS = 7, 7
_IADD, _RED = 0x035, 0x18E
_RELATIVE = frozenset({"BRA", "CALL"})
_WIDTHS = (8, 8, 16, 16, 32, 64, 128, 128)
_MEMORY = frozenset({"load-global", "load-local", "load-shared", "store-global", "store-local", "store-shared", "async-copy"})
_SELECTS = frozenset({"SEL", "FSEL", "FMNMX", "IMNMX", "VIMNMX"})
_COMPARES = frozenset({"ISETP", "FSETP", "DSETP", "HSETP2", "PLOP3", "LOP3"})
_WAITS = tuple(tuple(slot for slot in range(6) if mask >> slot & 1) for mask in range(64))
RZ = 255


class _Opcodes(dict[int, tuple[str, str]]):
    """{low twelve bits: (opcode, class)}: nine bits tell the opcode, except where the table has a row for all twelve."""

    def __missing__(self, code: int) -> tuple[str, str]:
        number = code & 0x1FF
        found = self[code] = self.get(number, (f"OP_{number:#05x}", "other"))
        return found


@cache
def _opcodes(architecture: int) -> _Opcodes:
    found = _Opcodes({int(code): (name, kind) for code, (name, kind) in table("opcodes").items()})
    if architecture >= 120:
        found[_IADD] = ("IADD", "integer")  # HFMA2 before
    if architecture < 90:
        found[_RED] = ("RED", "atomic-global")  # REDG since
    return found


def decode(code: bytes, base_pc: int, architecture: int = 90) -> tuple[Instruction, ...]:
    """The instructions of one function, built for an SM version (90, 100 …). An unknown opcode is named by its number, never guessed."""
    opcodes = _opcodes(architecture)
    found = []
    pc = base_pc
    for low, high in struct.iter_unpack("<QQ", code[: len(code) & ~15]):  # two words of 64 bits: one of 128 takes Python twice the time
        name, kind = opcodes[low & 0xFFF]
        sets, frees = (high >> 46) & 7, (high >> 49) & 7
        memory = kind in _MEMORY
        guard = (low >> 12) & 7
        found.append(
            Instruction(  # by position: decoding is a good part of a diagnosis, and keywords double its cost
                pc,
                name,
                kind,
                (low >> 16) & 0xFF,
                (low >> 24) & 0xFF,
                _sources(low, high),
                _signed(low >> 40, 24) if memory else (low >> 38) & 63 if name == "DEPBAR" else 0,
                sets if sets != _NO_SLOT else None,
                frees if frees != _NO_SLOT else None,
                _WAITS[(high >> 52) & 0x3F],
                _WIDTHS[(high >> 9) & 7] if memory else 0,
                _target(high << 64 | low, pc) if name in _RELATIVE else None,
                guard != _ALWAYS,
                guard,
                (high >> 23) & 7 if name in _SELECTS else _ALWAYS,
                (high >> 17) & 7 if name in _COMPARES else _ALWAYS,
            )
        )
        pc += 16
    return tuple(found)


def _sources(low: int, high: int) -> tuple[int, ...]:
    """Registers read as operands a, c, and b where the form has a register there; RZ is none."""
    first, third = (low >> 24) & 0xFF, high & 0xFF
    second = (low >> 32) & 0xFF if (low >> 9) & 7 == 1 else RZ
    if second == RZ and RZ not in (first, third):
        return first, third
    return tuple([register for register in (first, third, second) if register != RZ])


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _target(word: int, pc: int) -> int:
    return pc + 16 + 4 * (_signed(word >> 34, 48) << 8 | (word >> 16 & 0xFF))

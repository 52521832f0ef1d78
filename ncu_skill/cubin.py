"""Cubin: the ELF image embedded in a report; finds a kernel's code and its line table (DWARF 2-5 .debug_line), lazily."""

from __future__ import annotations

import posixpath
import struct
from typing import NamedTuple

from ncu_skill import sass
from ncu_skill.errors import UnreadableReport
from ncu_skill.model import Instruction, Place

_SHT_RELA, _SHT_REL = 4, 9
_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE, _CONST_ADD, _FIXED_ADVANCE = 1, 2, 3, 4, 8, 9
_END, _INLINED_CALL = 1, 0x90


class _Section(NamedTuple):
    name: str
    type: int
    start: int
    size: int
    link: int
    info: int


class Cubin:
    """One ELF64 image. Raises UnreadableReport when it is damaged."""

    def __init__(self, image: bytes) -> None:
        self._image = image
        try:
            self._sections = self._read_sections()
        except (struct.error, IndexError, ValueError) as error:
            raise UnreadableReport(f"the embedded GPU code is damaged: {error}") from error
        self._by_name = {section.name: index for index, section in enumerate(self._sections)}

    def _read_sections(self) -> list[_Section]:
        image = self._image
        if image[:5] != b"\x7fELF\x02":
            raise ValueError("no ELF64 header")
        table, entry, count, names = *struct.unpack_from("<Q", image, 40), *struct.unpack_from("<HHH", image, 58)
        raw = [struct.unpack_from("<IIQQQQIIQQ", image, table + index * entry) for index in range(count)]
        strings = raw[names][4]
        return [_Section(self._text(strings + item[0]), item[1], item[4], item[5], item[6], item[7]) for item in raw]

    def _text(self, at: int) -> str:
        return self._image[at : self._image.index(b"\0", at)].decode("utf-8", errors="replace")

    def code(self, mangled: str) -> bytes:
        """The kernel's text section, empty when the image does not hold it."""
        index = self._by_name.get(f".text.{mangled}")
        return self._bytes(self._sections[index]) if index is not None else b""

    def _bytes(self, section: _Section) -> bytes:
        return self._image[section.start : section.start + section.size]

    def architecture(self) -> int:
        """SM version of the image (90, 100 …) from the ELF flags."""
        flags = struct.unpack_from("<I", self._image, 48)[0]
        low, second = flags & 0xFF, (flags >> 8) & 0xFF
        return int(low if 50 <= low <= 130 else second)

    def instructions(self, mangled: str, base_pc: int) -> tuple[Instruction, ...]:
        return sass.decode(self.code(mangled), base_pc, self.architecture())

    def lines(self, mangled: str, base_pc: int) -> dict[int, tuple[Place, Place]]:
        """{PC: (place, innermost place)} for each instruction of the kernel, empty without line information.

        An inlined call has several rows at one address: the first is the place that the vendor's reader names, the last the innermost.
        """
        text, table = self._by_name.get(f".text.{mangled}"), self._by_name.get(".debug_line")
        if text is None or table is None:
            return {}
        try:
            start = self._sequence(text, table)
            names = self._bytes(self._sections[self._by_name[".debug_str"]]) if ".debug_str" in self._by_name else b""
            rows = _LineTable(self._bytes(self._sections[table]), names).rows(start) if start is not None else []
        except (struct.error, IndexError, ValueError) as error:
            raise UnreadableReport(f"the embedded line table is damaged: {error}") from error
        return _spread(rows, min(self._sections[text].size, len(self._image)), base_pc)

    def ptx(self, mangled: str, base_pc: int) -> dict[int, tuple[int, str]]:
        """{PC: (line of the embedded PTX, its text)} of the kernel; empty when the image was built without it (no -lineinfo)."""
        text, table = self._by_name.get(f".text.{mangled}"), self._by_name.get(".nv_debug_line_sass")
        source = self._by_name.get(".nv_debug_ptx_txt")
        if text is None or table is None or source is None:
            return {}
        try:
            start = self._sequence(text, table)
            rows = _LineTable(self._bytes(self._sections[table])).rows(start) if start is not None else []
        except (struct.error, IndexError, ValueError) as error:
            raise UnreadableReport(f"the embedded PTX line table is damaged: {error}") from error
        lines = self._bytes(self._sections[source]).split(b"\0")
        places = _spread(rows, min(self._sections[text].size, len(self._image)), base_pc)
        return {
            pc: (place.line, lines[place.line - 1].decode("utf-8", errors="replace").strip())
            for pc, (place, _) in places.items()
            if 0 < place.line <= len(lines)
        }

    def _sequence(self, text: int, table: int) -> int | None:
        """Offset in a line table (.debug_line or .nv_debug_line_sass) of the sequence that describes section `text`."""
        for relocations in self._sections:
            if relocations.info != table or relocations.type not in {_SHT_RELA, _SHT_REL}:
                continue
            if relocations.name not in {f".rela{self._sections[table].name}", f".rel{self._sections[table].name}"}:
                continue
            entry = 24 if relocations.type == _SHT_RELA else 16
            symbols = self._sections[relocations.link]
            for at in range(relocations.start, relocations.start + relocations.size - entry + 1, entry):
                offset, info = struct.unpack_from("<QQ", self._image, at)
                home = struct.unpack_from("<H", self._image, symbols.start + (info >> 32) * 24 + 6)[0]
                if home == text:
                    return int(offset) - 3
        return None


def _spread(rows: list[tuple[int, Place]], size: int, base_pc: int) -> dict[int, tuple[Place, Place]]:
    first: dict[int, Place] = {}
    last: dict[int, Place] = {}
    for address, place in rows:
        first.setdefault(address, place)
        last[address] = place
    starts = sorted(first)
    found: dict[int, tuple[Place, Place]] = {}
    for index, address in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else size
        for offset in range(address, min(end, size), 16):
            found[base_pc + offset] = (first[address], last[address])
    return found


class _LineTable:
    """The .debug_line section: unit headers and one sequence's rows."""

    def __init__(self, data: bytes, names: bytes = b"") -> None:
        self._data, self._names = data, names

    def rows(self, start: int) -> list[tuple[int, Place]]:
        """(offset in the function, place) rows of the sequence that begins at `start`."""
        run = _Program(self._data, self._unit(start), self._names)
        at = start
        while at < len(self._data) and not run.ended:
            at = run.step(at)
        return run.rows

    def _unit(self, offset: int) -> _Unit:
        at = 0
        while at < len(self._data):
            size = struct.unpack_from("<I", self._data, at)[0]
            if at <= offset < at + 4 + size:
                return _Unit(self._data, at)
            at += 4 + size
        raise ValueError("no unit holds the sequence")


class _Program:
    """The line-number program's registers, and the rows that it has emitted."""

    def __init__(self, data: bytes, unit: _Unit, names: bytes = b"") -> None:
        self.rows: list[tuple[int, Place]] = []
        self.ended = False
        self._data, self._unit, self._names = data, unit, names
        self._function = ""
        self._address, self._file, self._line = 0, 1, 1
        self._context = 0  # number of the row that called the inlined function, 0 outside of one

    def step(self, at: int) -> int:
        """Run the operation at `at`; the offset behind it."""
        code, unit = self._data[at], self._unit
        at += 1
        if code >= unit.opcode_base:
            self._address += (code - unit.opcode_base) // unit.line_range * unit.step
            self._line += unit.line_base + (code - unit.opcode_base) % unit.line_range
            self._emit()
            return at
        return self._extended(at) if code == 0 else self._standard(code, at)

    def _emit(self) -> None:
        caller = self.rows[self._context - 1][1] if 0 < self._context <= len(self.rows) else None
        function = self._function if caller is not None else ""
        self.rows.append((self._address, Place(self._unit.files.get(self._file, ""), self._line, caller, function)))

    def _extended(self, at: int) -> int:
        size, at = _uleb(self._data, at)
        if self._data[at] == _END:
            self.ended = True
        elif self._data[at] == _INLINED_CALL:
            self._context, behind = _uleb(self._data, at + 1)
            name, _ = _uleb(self._data, behind)
            end = self._names.find(b"\0", name)
            self._function = self._names[name:end].decode("utf-8", errors="replace") if 0 <= name < end else ""
        return at + size

    def _standard(self, code: int, at: int) -> int:
        data, unit = self._data, self._unit
        if code == _COPY:
            self._emit()
        elif code == _ADVANCE_PC:
            value, at = _uleb(data, at)
            self._address += value * unit.step
        elif code == _ADVANCE_LINE:
            value, at = _sleb(data, at)
            self._line += value
        elif code == _SET_FILE:
            self._file, at = _uleb(data, at)
        elif code == _CONST_ADD:
            self._address += (255 - unit.opcode_base) // unit.line_range * unit.step
        elif code == _FIXED_ADVANCE:
            self._address += struct.unpack_from("<H", data, at)[0]
            at += 2
        else:
            for _ in range(unit.lengths[code - 1]):
                _, at = _uleb(data, at)
        return at


class _Unit:
    """Header of one line-table unit."""

    def __init__(self, data: bytes, at: int) -> None:
        version = struct.unpack_from("<H", data, at + 4)[0]
        at += 6 + (2 if version >= 5 else 0) + 4
        self.step = data[at]
        at += 2 if version >= 4 else 1
        self.line_base, self.line_range, self.opcode_base = struct.unpack_from("<bBB", data, at + 1)
        if not self.line_range:
            raise ValueError("line range 0")
        at += 4
        self.lengths = data[at : at + self.opcode_base - 1]
        at += self.opcode_base - 1
        folders = [""]
        while data[at]:
            end = data.index(b"\0", at)
            folders.append(data[at:end].decode("utf-8", errors="replace"))
            at = end + 1
        at += 1
        self.files: dict[int, str] = {}
        while data[at]:
            end = data.index(b"\0", at)
            name = data[at:end].decode("utf-8", errors="replace")
            folder, at = _uleb(data, end + 1)
            _, at = _uleb(data, at)
            _, at = _uleb(data, at)
            if not name.startswith("/") and folder and folder < len(folders):
                name = f"{folders[folder].rstrip('/')}/{name}"
            self.files[len(self.files) + 1] = posixpath.normpath(name) if name else name


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _sleb(data: bytes, at: int) -> tuple[int, int]:
    start = at
    value, at = _uleb(data, at)
    bits = 7 * (at - start)
    return (value - (1 << bits) if data[at - 1] & 0x40 else value), at

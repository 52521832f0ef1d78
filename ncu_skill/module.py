"""Module: one embedded source result with its cubin, embedded source files and the addresses of its functions."""

from __future__ import annotations

from functools import cached_property

from ncu_skill import wire
from ncu_skill.container import Item
from ncu_skill.cubin import Cubin


class Module:
    """One embedded source result: the cubin, the embedded source files, and where its functions were loaded."""

    def __init__(self, data: wire.Buffer, item: Item) -> None:
        self.id = 0
        self.functions: dict[str, int] = {}
        self._data = data
        self._cubin: tuple[int, int] | None = None
        self._sources: tuple[int, int] | None = None
        for number, kind, a, b in wire.fields(data, item.start, item.end):
            if number == 1 and kind == wire.VARINT:
                self.id = a
            elif number == 4 and kind == wire.BYTES:
                self._cubin = (a, b)
            elif number == 8 and kind == wire.BYTES:
                self._sources = (a, b)
            elif number == 9 and kind == wire.BYTES:
                self._read_functions(a, b)

    def joined(self, earlier: Module | None) -> Module:
        """This module with what an earlier result of the same id holds: long reports repeat a module with new functions only."""
        if earlier is not None:
            self.functions = {**earlier.functions, **self.functions}
            self._cubin = self._cubin or earlier._cubin
            self._sources = self._sources or earlier._sources
        return self

    def _read_functions(self, start: int, end: int) -> None:
        for _, kind, a, b in wire.fields(self._data, start, end):
            if kind != wire.BYTES:
                continue
            name, address = "", 0
            for number, sub, c, d in wire.fields(self._data, a, b):
                if number == 1 and sub == wire.BYTES:
                    name = wire.text(self._data, c, d)
                elif number == 2 and sub == wire.VARINT:
                    address = c
            self.functions[name] = address

    @cached_property
    def cubin(self) -> Cubin | None:
        if self._cubin is None:
            return None
        return Cubin(bytes(self._data[self._cubin[0] : self._cubin[1]]))

    @cached_property
    def sources(self) -> dict[str, str]:
        """Embedded source text by path (empty without --import-source)."""
        found: dict[str, str] = {}
        if self._sources is None:
            return found
        for _, kind, a, b in wire.fields(self._data, *self._sources):
            if kind == wire.BYTES:
                parts = {n: wire.text(self._data, c, d) for n, k, c, d in wire.fields(self._data, a, b) if k == wire.BYTES}
                found[parts.get(1, "")] = parts.get(2, "")
        return found

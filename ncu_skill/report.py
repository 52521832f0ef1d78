"""Report: the launches of one file with their metrics, read in this process; the vendor's reader is asked for units and SASS text only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ncu_skill import container, values, wire
from ncu_skill.container import Item
from ncu_skill.errors import NotFound, UnreadableReport
from ncu_skill.model import Device, Instruction, Metric, Place, Producer, Value, Workload
from ncu_skill.module import Module
from ncu_skill.producer import read_producer
from ncu_skill.vendor import VendorReader


class _Layout(NamedTuple):
    """Field numbers of one kind of result."""

    metric: int
    section: int
    time: int
    module: int


_LAYOUTS = {
    "kernel": _Layout(metric=13, section=17, time=14, module=15),
    "range": _Layout(metric=4, section=7, time=5, module=15),
    "cmdlist": _Layout(metric=4, section=7, time=5, module=15),
    "graph": _Layout(metric=4, section=7, time=5, module=17),
}


class _Shared(NamedTuple):
    """What all launches of a file share: the bytes, the modules, the vendor's reader."""

    path: Path
    data: wire.Buffer
    modules: dict[int, Module]
    vendor: VendorReader


class Kernel:
    """One launch (or range, command list, graph) of a report. Values are decoded when asked for."""

    def __init__(self, shared: _Shared, item: Item, names: Sequence[str], launch: int) -> None:
        self._shared, self._item, self._names = shared, item, names
        self.launch = launch
        self._per_pc: dict[str, dict[int, float]] = {}
        self._known = values.Known()
        self.workload: Workload = item.kind  # type: ignore[assignment]
        self.mangled = self.function = self.name = ""
        self.grid = self.block = (0, 0, 0)
        self.time_unix = self._module_id = 0
        self._scan()
        self.name = self.name or self.function or self.mangled or self.workload

    def _scan(self) -> None:
        data, offsets = self._shared.data, []
        layout = _LAYOUTS[self.workload]
        self._sections: list[tuple[int, int]] = []
        self._metrics: dict[str, tuple[int, int]] = {}
        for number, kind, a, b in wire.fields(data, self._item.start, self._item.end):
            if kind == wire.BYTES and number == layout.metric:
                offsets.append((a, b))
            elif kind == wire.BYTES and number == layout.section:
                self._sections.append((a, b))
            elif kind == wire.BYTES and self.workload == "kernel":
                self._scan_launch(number, a, b)
            elif number == layout.time:
                self.time_unix = a
            elif number == layout.module:
                self._module_id = a
        for a, b in offsets:
            if b - a < 2 or data[a] != 8:
                raise UnreadableReport("the report is damaged: a metric has no name")
            index = data[a + 1]
            if index >= 0x80:
                index, _ = wire.varint(data, a + 1)
            if index >= len(self._names):
                raise UnreadableReport("the report is damaged: a metric's name is not in the string table")
            self._metrics[self._names[index]] = (a, b)

    def _scan_launch(self, number: int, a: int, b: int) -> None:
        data = self._shared.data
        if number in {5, 6, 7}:
            setattr(self, {5: "mangled", 6: "function", 7: "name"}[number], wire.text(data, a, b))
        elif number in {10, 11}:
            sizes = wire.message(data, a, b)
            setattr(self, "grid" if number == 10 else "block", (sizes.get(1, 1), sizes.get(2, 1), sizes.get(3, 1)))
        elif number == _LAYOUTS["kernel"].module:
            self._module_id = wire.message(data, a, b).get(1, 0)

    # metrics

    @property
    def metric_names(self) -> tuple[str, ...]:
        return tuple(self._metrics)

    def __contains__(self, name: str) -> bool:
        return name in self._metrics

    def value(self, name: str) -> Value | None:
        """The value as the vendor's reader gives it: 0 also where instances have no aggregate (ask has_value), None without either."""
        place = self._metrics.get(name)
        if place is None:
            return None
        for number, kind, a, b in wire.fields(self._shared.data, *place):
            if kind == wire.BYTES and number == 2:
                return values.value(self._shared.data, a, b)
            if kind == wire.BYTES and number == 3:
                first = self.instances(name)[0][0]
                value: Value | None = None if isinstance(first, str) else type(first)(0)
                return self._aggregate(place, value)
        return None

    def _aggregate(self, place: tuple[int, int], otherwise: Value | None) -> Value | None:
        for number, kind, a, b in wire.fields(self._shared.data, *place):
            if kind == wire.BYTES and number == 2:
                return values.value(self._shared.data, a, b)
        return otherwise

    def has_value(self, name: str) -> bool:
        """Whether the report holds an aggregate value of the metric."""
        place = self._metrics.get(name)
        return place is not None and any(
            number == 2 and kind == wire.BYTES for number, kind, _, _ in wire.fields(self._shared.data, *place)
        )

    def number(self, name: str) -> float | None:
        """The value of a numeric metric, None when the report holds none."""
        place = self._metrics.get(name)
        value = self._aggregate(place, None) if place else None
        return float(value) if isinstance(value, int | float) else None

    def instances(self, name: str) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """(values, correlation ids) of a metric; both empty without instances."""
        place = self._metrics.get(name)
        if place is None:
            return (), ()
        data, held, ids = self._shared.data, [], []
        for number, kind, a, b in wire.fields(data, *place):
            if number == 3 and kind == wire.BYTES:
                key, value = values.sample(data, a, b, self._known)
                ids.append(key)
                held.append(value)
        return tuple(held), tuple(ids)

    def per_pc(self, name: str) -> dict[int, float]:
        """A per-PC metric as {absolute PC: value}, read once; empty when it was not collected."""
        if name not in self._per_pc:
            place = self._metrics.get(name)
            self._per_pc[name] = values.per_pc(self._shared.data, *place, self._known) if place else {}
        return self._per_pc[name]

    def metric(self, name: str) -> Metric:
        """One metric with its unit (asks the vendor's reader for the unit)."""
        if name not in self._metrics:
            raise NotFound(f"{name} is not in launch {self.launch} of the report; list names with: ncu-skill metrics REPORT --match '*'")
        held, ids = self.instances(name)
        return Metric(name, self.value(name), self.units.get(name, ""), held, ids, self.has_value(name))

    @property
    def metrics(self) -> Iterator[Metric]:
        """Every metric, one at a time, in file order."""
        return (self.metric(name) for name in self._metrics)

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of every metric as the vendor's reader names it."""
        return self._shared.vendor.units(self.launch)

    # code

    @property
    def module(self) -> Module | None:
        return self._shared.modules.get(self._module_id)

    @cached_property
    def base_pc(self) -> int | None:
        """Where the kernel's first instruction was loaded: correlation ids of per-PC metrics are absolute."""
        return self.module.functions.get(self.mangled) if self.module else None

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """The kernel's decoded instructions in address order; empty when the report holds no code."""
        module = self.module
        if module is None or module.cubin is None or self.base_pc is None:
            return ()
        return module.cubin.instructions(self.mangled, self.base_pc)

    @cached_property
    def lines(self) -> dict[int, tuple[Place, Place]]:
        """(place as the vendor's reader names it, innermost inlined place) of every PC; empty without -lineinfo."""
        module = self.module
        if module is None or module.cubin is None or self.base_pc is None:
            return {}
        return module.cubin.lines(self.mangled, self.base_pc)

    def place(self, pc: int) -> Place | None:
        """File and line of a PC; of inlined code the line that calls it, where the line table says so."""
        return self.lines[pc][0] if pc in self.lines else None

    def innermost(self, pc: int) -> Place | None:
        """File and line inside the inlined function, with its callers."""
        return self.lines[pc][1] if pc in self.lines else None

    def expect_sass(self) -> None:
        """Say that `sass` will be asked for: the vendor's reader disassembles the kernel in the meantime."""
        if self.base_pc is not None:
            self._shared.vendor.prepare(self.launch, self.base_pc)

    def sass(self, pcs: Sequence[int]) -> list[str]:
        """SASS text of each PC, from the vendor's disassembler."""
        return self._shared.vendor.sass(self.launch, pcs)

    @cached_property
    def nvtx(self) -> tuple[str, ...]:
        """NVTX ranges around the launch, outermost first, from the vendor's reader."""
        return tuple(self._shared.vendor.nvtx(self.launch))

    @property
    def source_files(self) -> dict[str, str]:
        return self.module.sources if self.module else {}

    @cached_property
    def section_ids(self) -> tuple[str, ...]:
        """Identifiers of the sections that were collected."""
        data = self._shared.data
        found = []
        for a, b in self._sections:
            for number, kind, c, d in wire.fields(data, a, b):
                if number == 1 and kind == wire.BYTES:
                    found.append(wire.text(data, c, d))
                    break
        return tuple(found)

    @cached_property
    def device(self) -> Device:
        major = self.number("device__attribute_compute_capability_major")
        minor = self.number("device__attribute_compute_capability_minor")
        name = self.value("device__attribute_display_name")
        count = self.number("device__attribute_multiprocessor_count") or self.number("launch__sm_count") or 0
        capability = f"{int(major)}.{int(minor or 0)}" if major is not None else ""
        return Device(str(name or ""), capability, f"sm_{capability.replace('.', '')}" if capability else "", int(count))

    @property
    def duration_ns(self) -> float | None:
        return self.number("gpu__time_duration.sum")


class Report:
    """One report file: producer facts and launches. Launches are decoded one at a time."""

    def __init__(self, path: Path, data: wire.Buffer) -> None:
        self.path = path
        self._data = data
        self._blocks = tuple(container.blocks(data))
        modules: dict[int, Module] = {}
        self._shared = _Shared(path, data, modules, VendorReader(path))
        self._items: list[Item] = []
        self._last: Kernel | None = None
        for block in self._blocks:
            for item in block.items:
                if item.kind == "source":
                    module = Module(data, item)
                    modules[module.id] = module.joined(modules.get(module.id))
                elif item.kind != "unknown":
                    self._items.append(item)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Kernel]:
        return (self.kernel(launch) for launch in range(len(self._items)))

    def kernel(self, launch: int) -> Kernel:
        if not 0 <= launch < len(self._items):
            raise NotFound(f"the report has no launch {launch}; it has launches 0 to {len(self._items) - 1}")
        if self._last is None or self._last.launch != launch:
            self._last = Kernel(self._shared, self._items[launch], self._strings, launch)
        return self._last

    @cached_property
    def _strings(self) -> list[str]:
        """The string table: every block appends to it, indices run through the whole file."""
        return [name for block in self._blocks for name in container.strings(self._data, block)]

    @property
    def kernels(self) -> list[Kernel]:
        return list(self)

    @cached_property
    def producer(self) -> Producer:
        """Facts of how the report was made, host facts and paths left out."""
        return read_producer(self._data, self._blocks, redact=True)

    def producer_unredacted(self) -> Producer:
        """The same with host name, addresses, directories and the whole command line."""
        return read_producer(self._data, self._blocks, redact=False)


def open_report(path: str | Path) -> Report:
    """Open a `.ncu-rep` or `.ncu-repz` file (told apart by content).

    Raises UnreadableReport for anything that is not a whole report.
    """
    path = Path(path)
    data = container.load(path)
    report = Report(path, data)
    if not len(report):
        raise UnreadableReport(f"{path} holds no kernel, range or graph: nothing was profiled (wrong -k filter, or ncu was stopped)")
    return report

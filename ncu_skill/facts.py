"""Facts: named values with unit and origin that the analyses compute from one launch, and the catalog that maps metrics to them."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from ncu_skill.data import table
from ncu_skill.model import Answer
from ncu_skill.report import Kernel


class Fact(NamedTuple):
    """One value: its unit, and the metric or the formula that it comes from."""

    value: float
    unit: str
    origin: str


class Entry(NamedTuple):
    """One line of the catalog."""

    key: str
    unit: str
    meaning: str
    section: str
    choices: tuple[tuple[str, ...], ...]
    analysis: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that can give the fact, the first choice first."""
        return tuple(name for choice in self.choices for name in choice)


@cache
def catalog() -> dict[str, Entry]:
    """Every entry of catalog.yaml by fact name."""
    return {
        key: Entry(key, row["unit"], row["meaning"], row["section"], tuple(map(_choice, row["metrics"])), analysis)
        for analysis, rows in table("catalog").items()
        for key, row in rows.items()
    }


def _choice(names: str | list[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


class Facts:
    """The facts of one launch. A missing fact reads as None, never as zero."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._facts

    def __getitem__(self, key: str) -> Fact:
        return self._facts[key]

    def items(self) -> list[tuple[str, Fact]]:
        return list(self._facts.items())

    def get(self, key: str) -> float | None:
        fact = self._facts.get(key)
        return fact.value if fact else None

    def number(self, key: str, default: float = 0.0) -> float:
        """The value, or `default` where the report does not hold it; only for sums where absence means none."""
        value = self.get(key)
        return default if value is None else value

    def add(self, key: str, value: float | None, unit: str, origin: str) -> None:
        """Keep a value; None, NaN and infinities are not kept."""
        if value is not None and math.isfinite(value):
            self._facts[key] = Fact(float(value), unit, origin)


def read_catalog(kernel: Kernel) -> Facts:
    """All catalog facts that the launch holds."""
    facts = Facts()
    for entry in catalog().values():
        for choice in entry.choices:
            known = [(value, name) for name in choice if (value := kernel.number(name)) is not None and math.isfinite(value)]
            if known:
                value, name = max(known, key=lambda pair: pair[0])
                facts.add(entry.key, value, entry.unit, name)
                break
    return facts


def sections_missing(kernel: Kernel, keys: list[str]) -> list[str]:
    """Sections that would have to be collected for the named facts."""
    found = {catalog()[key].section for key in keys if key in catalog()}
    return sorted(found - set(kernel.section_ids) - {"any"})


def ask(kernel: Kernel, name: str) -> Answer:
    """One metric with its state: collected, not collected (and which section would), or not existing on this chip."""
    from ncu_skill import names

    if name in kernel:
        return Answer(name, "collected", kernel.metric(name))
    row, chip = names.find(name), kernel.device.chip
    other = _other_name(kernel, name)
    if row is not None and names.exists_on(name, chip) is False:
        where = ", ".join(f"sm_{number}" for number in row.chips)
        hint = f"; this chip names it {other}" if other else ""
        return Answer(name, "not-on-this-chip", None, f"{row.meaning}: exists on {where}, not on {chip}{hint}")
    if other:
        return Answer(name, "not-on-this-chip", None, f"this chip names it {other}")
    entry = next((entry for entry in catalog().values() if name in entry.metrics), None)
    section = entry.section if entry else row.section if row else ""
    if section:
        state = "collected without it" if section in kernel.section_ids else f"collect it with: ncu --section {section}"
        return Answer(name, "not-collected", None, state)
    return Answer(
        name,
        "not-collected",
        None,
        f"it is in no collected section; try: ncu --metrics {name.split('.', maxsplit=1)[0]}, or ncu --query-metrics",
    )


def _other_name(kernel: Kernel, name: str) -> str:
    """The name under which this report holds the same fact, empty where it holds none."""
    entry = next((entry for entry in catalog().values() if name in entry.metrics), None)
    return next((other for other in entry.metrics if other in kernel), "") if entry else ""

"""Names: which metric exists on which chip, what it means and who uses it (metrics.yaml), matched by pattern and base name."""

from __future__ import annotations

import fnmatch
import re
from functools import cache
from typing import Any, NamedTuple

from ncu_skill.data import table

CHIPS = (80, 86, 89, 90, 100, 103, 120)
_PREFIX = re.compile(r"^(?:pmsampling:|[A-Z]+(?:_[A-Z])?\.Triage\w*\.)")


class Name(NamedTuple):
    """One row of metrics.yaml; `chips` are compute capabilities times ten."""

    pattern: str
    chips: tuple[int, ...]
    unit: str
    meaning: str
    section: str
    source: str
    analyses: tuple[str, ...]
    series: bool


@cache
def rows() -> tuple[Name, ...]:
    """Every row, in the order in which they are tried."""
    return tuple(_row(row) for row in table("metrics"))


def _row(row: dict[str, Any]) -> Name:
    chips = CHIPS if row["chips"] == "all" else tuple(row["chips"])
    used = tuple(row["analyses"])
    return Name(row["pattern"], chips, row["unit"], row["meaning"], row["section"], row["source"], used, bool(row.get("series")))


def base_name(name: str) -> str:
    """A PM series without its prefix, which varies with chip and ncu version; another name as it is."""
    return _PREFIX.sub("", name)


@cache
def find(name: str) -> Name | None:
    """The first row that matches; a row for PM series matches names with a series prefix, or where nothing else does."""
    base = base_name(name)
    matching = [row for row in rows() if fnmatch.fnmatchcase(base, row.pattern)]
    series = [row for row in matching if row.series]
    if base != name and series:
        return series[0]
    return next((row for row in matching if not row.series), series[0] if series else None)


def exists_on(name: str, chip: str) -> bool | None:
    """Whether a metric exists on a chip such as sm_90; None where the table does not know."""
    row = find(name)
    number = chip.removeprefix("sm_")
    if row is None or not number.isdigit() or int(number) not in CHIPS:
        return None
    return int(number) in row.chips

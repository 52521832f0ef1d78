"""Problems: what a check found, as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One broken rule: the class of the defect, where it is, and what is wrong."""

    rule: str
    where: str
    message: str

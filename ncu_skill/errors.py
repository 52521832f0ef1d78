"""Errors of the profile reader. Each message says what was wrong, what is valid and what to run next.

NcuSkillError
├── BadArgument         an argument or pattern that no report can satisfy     exit 2
├── NotFound            a kernel, launch, metric or rule that is not there    exit 3
├── UnreadableReport    a file that is no report, broken, or hostile          exit 4
└── MissingDependency   the vendor's reader or a codec that is not installed  exit 5
"""

from __future__ import annotations

from collections.abc import Sequence


class NcuSkillError(Exception):
    """Base of every error that ncu_skill raises on purpose."""

    exit_code = 1


class BadArgument(NcuSkillError):
    """An argument or pattern that no report can satisfy."""

    exit_code = 2


class NotFound(NcuSkillError):
    """A kernel, launch, metric or rule that is not there; `nearest` are names that are."""

    exit_code = 3

    def __init__(self, message: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


class UnreadableReport(NcuSkillError):
    """A file that is no Nsight Compute report, is truncated, altered or too large to be one."""

    exit_code = 4


class MissingDependency(NcuSkillError):
    """The vendor's reader or a codec that is not installed."""

    exit_code = 5

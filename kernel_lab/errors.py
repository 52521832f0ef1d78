"""Errors of the kernel lab. Each message says what was wrong, what is valid and what to run next.

LabError
├── BadInput           a solution, task or argument that no lab can take        exit 2
├── NotFound           a candidate, definition, baseline or file that is absent exit 3
├── ContractBroken     the frozen contract no longer matches what is there      exit 3
├── LedgerBroken       the hash chain, or evidence that it binds, was altered   exit 3
├── Unreadable         a file that is not what its name says                    exit 4
├── MissingBackend     torch, flashinfer-bench, nvcc, a GPU, a server …         exit 5
├── CandidateFailed    the candidate's own process broke or ran past its limit  exit 1
└── Refused            a promotion without a passing verdict                    exit 1
"""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that kernel_lab raises on purpose."""

    exit_code = 1


class BadInput(LabError):
    """A solution, task file or argument that no lab can take; the message names the field."""

    exit_code = 2


class NotFound(LabError):
    """A candidate, definition, baseline or file that is not there."""

    exit_code = 3


class ContractBroken(LabError):
    """The frozen contract no longer matches what is on disk; `names` are the parts that differ."""

    exit_code = 3

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class LedgerBroken(LabError):
    """The hash chain, or a file that it binds, was altered."""

    exit_code = 3


class Unreadable(LabError):
    """A file that is missing, truncated or not what its name says."""

    exit_code = 4


class MissingBackend(LabError):
    """A package, compiler, server or device that the contract needs is not here."""

    exit_code = 5


class CandidateFailed(LabError):
    """A solution's own process broke, or ran past its limit; `role` says whose (candidate, baseline, incumbent)."""

    def __init__(self, message: str, role: str = "candidate") -> None:
        super().__init__(message)
        self.role = role


class Refused(LabError):
    """A promotion that the ledger does not support."""

"""Errors of ingest. Each message says what was wrong, what is valid and what to run next.

KernelWikiError
└── IngestError            a source that cannot be read now                     exit 4
    ├── RepositoryMissing  no such repository, or not visible with this token   exit 3
    ├── NotAllowed         no token, a wrong one, or one without the right      exit 5
    ├── LimitReached       the wait that GitHub asks for exceeds --max-wait     exit 1
    └── StoreBusy          another ingest is writing the same data folder       exit 5
"""

from __future__ import annotations

from kernelwiki.errors import KernelWikiError


class IngestError(KernelWikiError):
    """A clone, a server or a file that cannot be read now."""

    exit_code = 4


class RepositoryMissing(IngestError):
    """No such repository, or none that this token may see."""

    exit_code = 3


class NotAllowed(IngestError):
    """No token, a wrong one, or one without the right to read the repository."""

    exit_code = 5


class LimitReached(IngestError):
    """The server asks for a longer wait than the user allows; what was fetched is kept."""

    exit_code = 1


class StoreBusy(IngestError):
    """Another process is writing the records of the same data folder."""

    exit_code = 5

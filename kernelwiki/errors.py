"""Errors of the knowledge base. Each message says what was wrong, what is valid and what to run next.

KernelWikiError
├── SkillConflict       something of the user's where a skill should go     exit 1
├── NotFound            an id that names nothing                            exit 3
├── BadQuery            a filter or argument that no search can have        exit 2
├── CorpusUnreadable    a record, page or vocabulary file that is broken    exit 4
├── IndexUnusable       no index and none can be built here                 exit 5
├── IndexBusy           another process is building and did not finish      exit 5
└── MissingDependency   an optional package or service that is not there    exit 5
"""

from __future__ import annotations

from collections.abc import Sequence


class KernelWikiError(Exception):
    """Base of every error that kernelwiki raises on purpose."""

    exit_code = 1


class NotFound(KernelWikiError):
    """An id that names nothing; `nearest` are ids that do exist."""

    exit_code = 3

    def __init__(self, message: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


class SkillConflict(KernelWikiError):
    """Files that are not ours, or that the user changed, stand where a skill is to be installed."""


class BadQuery(KernelWikiError):
    """A filter or argument that no search can have."""

    exit_code = 2


class CorpusUnreadable(KernelWikiError):
    """A record, page, vocabulary or manifest file that is missing, truncated or altered."""

    exit_code = 4


class IndexUnusable(KernelWikiError):
    """There is no index and none can be built here."""

    exit_code = 5


class IndexBusy(KernelWikiError):
    """Another process holds the index lock and did not finish in time."""

    exit_code = 5


class MissingDependency(KernelWikiError):
    """An optional package or service that is not there."""

    exit_code = 5

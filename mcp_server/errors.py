"""Errors of the server. Every failure reaches the client as a ToolError: what was wrong, what is valid, the next call.

ServerError
├── BadSettings     a start option that cannot work                          exit 2
├── PathRefused     a path outside the allowed roots, or no file             exit 3
└── WorkerFailed    what a child process answered instead of a result        the child's code
"""

from __future__ import annotations

from collections.abc import Sequence


class ServerError(Exception):
    """Base of every error that the server raises on purpose."""

    exit_code = 1


class BadSettings(ServerError):
    """A start option that cannot work."""

    exit_code = 2


class PathRefused(ServerError):
    """A path that is not below an allowed root, or names no regular file; `nearest` are files that would do."""

    exit_code = 3

    def __init__(self, message: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


class WorkerFailed(ServerError):
    """An error that the engine in a child process raised (with its exit code), or the end of that process."""

    def __init__(self, message: str, exit_code: int = 1, nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.nearest = tuple(nearest)

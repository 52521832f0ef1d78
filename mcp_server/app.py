"""App: what the tools share: settings, the knowledge base, the worker processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context

from mcp_server import roots
from mcp_server.errors import PathRefused, WorkerFailed
from mcp_server.knowledge import Knowledge
from mcp_server.settings import Settings
from mcp_server.workers import OnProgress, Workers

REPORT_SECONDS = 180.0
LAB_SECONDS = 3_600.0
MAX_PROCESSES = 4


class App:
    """One server's state. Nothing is opened or started before a call needs it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.workers = Workers(max(1, min(MAX_PROCESSES, os.cpu_count() or 1)))
        self.lab_workers = Workers(1)  # one candidate at a time: a second one would disturb the timer
        self.knowledge = Knowledge(self.workers)

    @asynccontextmanager
    async def running(self, _: Any = None) -> AsyncIterator[None]:
        """Ends the worker processes when the server stops."""
        try:
            yield
        finally:
            await self.workers.close()
            await self.lab_workers.close()

    async def report(self, given: str, context: Context[Any, Any]) -> Path:
        """The real path of a report that the client may read. Raises PathRefused."""
        return await roots.allowed_file(given, self.settings.roots, context, ask_client=self.settings.ask_client)

    async def candidate(self, given: str) -> str:
        """A candidate's id as it is, or the real path of a packed solution below the workspace or a root. Raises PathRefused."""
        if "/" not in given and not given.endswith(".json"):
            return given
        lab = (self.settings.lab,) if self.settings.lab else ()
        return str(roots.find(given, (*lab, *self.settings.roots)))

    async def ncu(self, op: str, args: dict[str, Any], context: Context[Any, Any]) -> Any:
        """One call of the profile reader in a worker. Raises WorkerFailed."""
        return await self.workers.call(op, args, timeout_s=REPORT_SECONDS, on_progress=progress_of(context))

    async def lab(self, op: str, args: dict[str, Any], context: Context[Any, Any]) -> Any:
        """One call of the lab on the server's workspace, in a worker. Raises WorkerFailed."""
        if self.settings.lab is None:
            raise WorkerFailed("this server has no lab workspace: start it with --lab DIR", 5)
        found = {"workspace": str(self.settings.lab), **args}
        return await self.lab_workers.call(op, found, timeout_s=LAB_SECONDS, on_progress=progress_of(context))


def progress_of(context: Context[Any, Any]) -> OnProgress:
    """Passes an engine's progress on to the client, which sees it when it asked for it."""

    async def report(step: str, done: int, total: int) -> None:
        await context.report_progress(done, total or None, step)

    return report


def nearest_of(error: Exception) -> Sequence[str]:
    """Names near to what was asked for, when the error knows some."""
    return tuple(getattr(error, "nearest", ()))


__all__ = ["App", "PathRefused", "nearest_of", "progress_of"]

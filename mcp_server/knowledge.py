"""Knowledge: the wiki, opened at the first call. A missing index is built by a worker, with progress, and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from mcp_server.workers import OnProgress, Workers

if TYPE_CHECKING:
    from kernelwiki.wiki import Wiki

BUILD_SECONDS = 900.0
THREADS = 4  # questions at once; more only fight for the same cores and memory
Result = TypeVar("Result")


class Knowledge:
    """Opens the wiki once and runs questions about it on threads."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._wiki: Wiki | None = None
        self._lock: anyio.Lock | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    async def ask(self, question: Callable[[Wiki], Result], on_progress: OnProgress | None = None) -> Result:
        """What `question` finds in the wiki. Raises KernelWikiError, and WorkerFailed when the index cannot be built."""
        wiki = self._wiki or await self._open(on_progress)
        if self._limiter is None:  # made here: it belongs to the event loop that serves
            self._limiter = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(question, wiki, abandon_on_cancel=True, limiter=self._limiter)

    async def _open(self, on_progress: OnProgress | None) -> Wiki:
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            if self._wiki is None:
                if not await anyio.to_thread.run_sync(_is_built):
                    await self._workers.call("wiki_index", {}, timeout_s=BUILD_SECONDS, on_progress=on_progress)
                self._wiki = await anyio.to_thread.run_sync(_opened)
            assert self._wiki is not None
            return self._wiki


def _is_built() -> bool:
    import os

    from kernelwiki.home import find_places
    from kernelwiki.indexing.index import read_info, wanted_version

    places = find_places()
    return read_info(places.indexes / wanted_version(places, os.environ.get("KWIKI_EMBEDDER", ""))) is not None


def _opened() -> Any:
    from kernelwiki.wiki import Wiki

    return Wiki.open()

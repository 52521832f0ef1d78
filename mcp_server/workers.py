"""Workers: the pool of child processes that run engine calls. A cancelled or overdue call ends its process, nobody else's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_server.errors import WorkerFailed

OnProgress = Callable[[str, int, int], Awaitable[None]]
MAX_ANSWER_BYTES = 256 << 20
IDLE_WORKERS = 2


class Worker:
    """One child process and its line protocol."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._stdin = process, process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.usable = True

    @classmethod
    async def start(cls) -> Worker:
        """A fresh child in a process group of its own; what it prints goes to our stderr."""
        command = [sys.executable, "-m", "mcp_server.worker"]
        # Not in the client's folder: a module that lies there must not be imported instead of ours.
        return cls(
            await anyio.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None,
                cwd=Path(__file__).parents[1],
                start_new_session=True,
            )
        )

    async def ask(self, op: str, args: dict[str, Any], on_progress: OnProgress | None) -> Any:
        """The result of one call. Raises WorkerFailed with the engine's message, or when the process ended."""
        self.usable = False
        try:
            await self._stdin.send(json.dumps({"op": op, "args": args}).encode() + b"\n")
            while True:
                message = json.loads(await self._lines.receive_until(b"\n", MAX_ANSWER_BYTES))
                if "progress" not in message:
                    break
                if on_progress:
                    await on_progress(*message["progress"])
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.DelimiterNotFound):
            raise WorkerFailed("the process that ran this call ended without an answer: the input is damaged or too large", 4) from None
        self.usable = True
        if "error" in message:
            raise WorkerFailed(message["error"]["message"], message["error"]["exit_code"], message["error"]["nearest"])
        return message["ok"]

    async def stop(self) -> None:
        """End the child and everything that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await self._process.wait()
            await self._process.aclose()


class Workers:
    """At most `limit` calls at once, each in a process of its own; idle processes are kept for the next call."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter: anyio.CapacityLimiter | None = None
        self._idle: list[Worker] = []

    async def call(self, op: str, args: dict[str, Any], *, timeout_s: float, on_progress: OnProgress | None = None) -> Any:
        """Run `op`. When this is cancelled, or `timeout_s` passes, the process is killed. Raises WorkerFailed."""
        if self._limiter is None:  # made here: it belongs to the event loop that serves
            self._limiter = anyio.CapacityLimiter(self._limit)
        async with self._limiter:
            worker = self._idle.pop() if self._idle else await Worker.start()
            try:
                with anyio.fail_after(timeout_s):
                    return await worker.ask(op, args, on_progress)
            except TimeoutError:
                raise WorkerFailed(f"no answer within {timeout_s:.0f} s: stopped. Ask for less (one launch, one kernel)", 4) from None
            finally:
                if worker.usable and len(self._idle) < IDLE_WORKERS:
                    self._idle.append(worker)
                else:
                    await worker.stop()

    async def close(self) -> None:
        """End every idle process."""
        while self._idle:
            await self._idle.pop().stop()

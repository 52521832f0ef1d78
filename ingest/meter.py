"""Meter: progress of a long ingest on stderr: a count with its rate on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

_LINE_SECONDS = 30.0


class Meter:
    """Counts pull requests of one run. `advance` adds, `say` prints a line for the user; both may be called at any time."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._count = 0
        self._started = self._line = time.monotonic()
        self._progress: Any = None

    def __enter__(self) -> Meter:
        if sys.stderr.isatty():
            self._progress = _progress()
            self._task = self._progress.add_task(self._label, total=None, rate="")
            self._progress.start()
        return self

    def advance(self, count: int) -> None:
        """Another `count` pull requests are done."""
        self._count += count
        now = time.monotonic()
        rate = f"{self._count / max(now - self._started, 0.001):.0f}/s"
        if self._progress is not None:
            self._progress.update(self._task, completed=self._count, rate=rate)
        elif now - self._line > _LINE_SECONDS:
            self._line = now
            print(f"{self._label}: {self._count} pull requests, {rate}", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """One line for the user, without breaking the bar."""
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed}"), TextColumn("{task.fields[rate]}"))
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)

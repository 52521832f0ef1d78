"""Progress bars on stderr: shown on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar named `label`; the value is a function that advances it. Without a terminal nothing is drawn."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    with _columns() as progress:
        task = progress.add_task(label, total=total)
        yield lambda count: progress.advance(task, count)


class StepBar:
    """A progress bar that names its current step; for work that reports (step, done, total). Drawn only on a terminal.

    Elsewhere one line on stderr says what is being done, so that a first search does not look stuck.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        self._said = False

    def __enter__(self) -> StepBar:
        return self

    def update(self, step: str, done: int, total: int) -> None:
        """Show `done` of `total` for `step`."""
        if not sys.stderr.isatty():
            if not self._said:
                print(f"{self._label} …", file=sys.stderr)
            self._said = True
            return
        if self._progress is None:
            self._progress = _columns()
            self._progress.start()
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()


def _columns() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)

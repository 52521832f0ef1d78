"""Worker: a child process that runs one engine call at a time, so that a call can be stopped and a crash harms nobody.

Started as `python -m mcp_server.worker`. Reads one JSON object a line (`op`, `args`), writes lines with `progress`, then one with
`ok` or `error`. It ends with its whole process group when its input closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from queue import Queue
from typing import Any, BinaryIO

Progress = Callable[[str, int, int], None]
# op → where the function is; the first argument of a report op is the report's path.
OPS = {
    "ncu_summary": "ncu_skill.facade:summary",
    "ncu_diagnose": "ncu_skill.facade:diagnose",
    "ncu_hotspots": "ncu_skill.facade:hotspots",
    "ncu_metrics": "ncu_skill.facade:metrics",
    "ncu_timeline": "ncu_skill.pmsampling.facade:timeline",
    "ncu_diff": "ncu_skill.comparison.facade:compare",
}
ERRORS = {
    "wiki": "kernelwiki.errors:KernelWikiError",
    "ncu": "ncu_skill.errors:NcuSkillError",
    "lab": "kernel_lab.errors:LabError",
}
LAB_OPS = ("status", "compile", "score", "verify", "record", "promote", "audit")


class Reports:
    """The report that was read last, kept open: agents ask several questions about one file."""

    def __init__(self) -> None:
        self._key: tuple[str, int, int] | None = None
        self._report: Any = None

    def get(self, path: str) -> Any:
        """The open report of `path`, read again when the file changed."""
        from ncu_skill import open_report

        info = Path(path).stat()
        key = (path, info.st_size, info.st_mtime_ns)
        if key != self._key:
            self._report = self._key = None
            self._report, self._key = open_report(path), key
        return self._report


def run(op: str, args: dict[str, Any], reports: Reports, progress: Progress) -> Any:
    """The result of one call as JSON-ready data."""
    if op == "wiki_index":
        from kernelwiki import Wiki

        return {"version": Wiki.open(progress=progress).info.version}
    if op.startswith("lab_"):
        return _lab(op.removeprefix("lab_"), dict(args), progress)
    module, name = OPS[op].split(":")
    function = getattr(import_module(module), name)
    files = [reports.get(args.pop("report"))] if "report" in args else [args.pop("base"), args.pop("candidate")]
    return function(*files, **args)


def _lab(verb: str, args: dict[str, Any], progress: Progress) -> Any:
    lab_class = import_module("kernel_lab").Lab
    if verb not in LAB_OPS:
        raise ValueError(verb)
    lab = lab_class.open(Path(args.pop("workspace")))
    if verb in {"score", "verify"}:
        args["progress"] = progress
    candidate = [args.pop("candidate")] if "candidate" in args else []
    return getattr(lab, verb)(*candidate, **args)


def _answers(op: str, args: dict[str, Any], reports: Reports, send: Callable[[Any], None]) -> None:
    """One result or one error. An error that nobody foresaw ends this process, with its traceback on stderr."""

    def progress(step: str, done: int, total: int) -> None:
        send({"progress": [step, done, total]})

    module, name = ERRORS[op.partition("_")[0]].split(":")
    foreseen: type[Exception] = getattr(import_module(module), name)
    try:
        send({"ok": run(op, args, reports, progress)})
    except foreseen as error:
        nearest = [str(item) for item in getattr(error, "nearest", ())][:10]
        send({"error": {"message": str(error), "exit_code": getattr(error, "exit_code", 1), "nearest": nearest}})
    except OSError as error:
        name = Path(str(error.filename or "")).name
        send({"error": {"message": f"{error.strerror or type(error).__name__}: {name}", "exit_code": 4, "nearest": []}})
    except ImportError as error:
        send({"error": {"message": f"{error.name} is not installed here", "exit_code": 5, "nearest": []}})


def _requests(source: BinaryIO) -> Iterator[dict[str, Any]]:
    """Requests, read by a thread that ends the process group as soon as the server is gone."""
    queue: Queue[bytes] = Queue()

    def read() -> None:
        for line in source:
            queue.put(line)
        if os.getpgid(0) == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(queue.get())


def main() -> None:
    """Serve requests until the input closes. What engines print goes to stderr."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: Any) -> None:
        with lock:
            out.write(json.dumps(message, default=str).encode() + b"\n")

    reports = Reports()
    with contextlib.suppress(KeyboardInterrupt):
        for request in _requests(sys.stdin.buffer):
            _answers(request["op"], request["args"], reports, send)


if __name__ == "__main__":
    main()

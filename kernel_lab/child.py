"""Child: the judge's handle on one candidate process: starts it confined, lays out shared memory, calls, pauses and times it."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel_lab.errors import CandidateFailed
from kernel_lab.solution import Solution

WORKER = Path(__file__).with_name("worker.py")
PAGE = 4096
_MAX_LINE = 1 << 20


@dataclass(frozen=True)
class Rules:
    """How a child is confined. Sizes in GiB or MiB, times in seconds."""

    hide: tuple[Path, ...]
    device: str = "cpu"
    memory_gib: float = 24
    call_s: float = 60
    start_s: float = 120
    cpu_s: int = 1800
    scratch_mib: int = 2048
    confine: bool = True
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a call gave: the parent's wall time and the child's own words, which prove nothing."""

    wall_s: float
    said: dict[str, Any]


class Child:
    """One running candidate. A context manager: leaving it kills the whole process group and its namespace."""

    def __init__(self, solution: Solution, rules: Rules, memory_bytes: int, library: bytes = b"", role: str = "candidate") -> None:
        self.solution, self.rules, self.role = solution, rules, role
        self._memory_bytes = max(PAGE, -(-memory_bytes // PAGE) * PAGE)
        self._descriptor = os.memfd_create("kernel-lab", 0)
        os.ftruncate(self._descriptor, self._memory_bytes)
        self.memory = mmap.mmap(self._descriptor, self._memory_bytes)
        self._library = library
        self._words = tempfile.TemporaryFile()  # noqa: SIM115
        self._buffer = b""
        self._seq = 0
        self._pid = 0
        self.level, self.filtered = "none", False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Child:
        ours, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), self._descriptor]
        library = self._library_descriptor()
        command = [sys.executable, "-I", "-B", str(WORKER), *map(str, descriptors), str(library)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._words, stderr=self._words, start_new_session=True,
                pass_fds=[*descriptors, *([library] if library >= 0 else [])], env=self._environment(), cwd="/",
            )  # fmt: skip
        finally:
            theirs.close()
            if library >= 0:
                os.close(library)
        self._socket = ours
        try:
            self._tell()
        except BaseException:
            self.close()
            raise
        return self

    def wait_until_ready(self) -> None:
        """The handshake. Several children are started first and waited for afterwards."""
        ready = self._receive(self.rules.start_s)
        self.level, self.filtered = str(ready.get("level")), bool(ready.get("filtered"))
        self._pid = self._inner_pid()
        self._receive(self.rules.start_s)

    def _library_descriptor(self) -> int:
        if not self._library:
            return -1
        descriptor = os.memfd_create("library", 0)
        os.write(descriptor, self._library)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def _environment(self) -> dict[str, str]:
        fixed = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
        return {**fixed, **self.rules.variables}

    def _tell(self) -> None:
        rules, solution = self.rules, self.solution
        file, symbol = solution.entry
        home = os.environ.get("HOME", "")
        hide = [str(path) for path in rules.hide if path.is_dir()] + ([home] if len(home) > 1 else [])
        keep = dict.fromkeys([sys.prefix, sys.base_prefix, str(WORKER.parent), *map(str, site_folders())])
        self._send({
            "confine": rules.confine, "hide": hide, "keep": list(keep), "scratch_mib": rules.scratch_mib, "network": rules.device != "cpu",
            "threads": 1 if rules.device == "cpu" else os.cpu_count() or 1, "memory_bytes": self._memory_bytes, "device": rules.device, "scratch": "/tmp" if rules.confine else tempfile.mkdtemp(),  # noqa: E501
            "memory_gib": rules.memory_gib if rules.device == "cpu" else 0, "cpu_s": rules.cpu_s, "filter": rules.device == "cpu" and rules.confine,  # noqa: E501
            "id": solution.id, "sources": solution.document["sources"], "file": file, "symbol": symbol,
            "library": bool(self._library), "passes_outputs": solution.passes_outputs,
        })  # fmt: skip

    def _inner_pid(self) -> int:
        assert self._process is not None
        outer = self._process.pid
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text(encoding="ascii").split()
        except OSError:
            children = []
        return int(children[0]) if children else outer

    def request(self, op: str, timeout_s: float | None = None, **fields: Any) -> dict[str, Any]:
        """One untimed exchange."""
        self._seq += 1
        self._send({"op": op, "seq": self._seq, **fields})
        return self._receive(timeout_s or self.rules.call_s)

    def call(self, **fields: Any) -> Reply:
        """Run the candidate once, on a CPU: wake it, wait for "done", stop every thread of it; the time is from wake to stop."""
        self._seq += 1
        self._send({"op": "call", "seq": self._seq, **fields})
        begin = time.perf_counter()
        self.resume()
        said = self._receive(self.rules.call_s)
        self.pause()
        return Reply(time.perf_counter() - begin, said)

    def call_awake(self, op: str = "call", **fields: Any) -> Reply:
        """Run the candidate once without stopping it afterwards (a GPU would run on)."""
        begin = time.perf_counter()
        said = self.request(op, **fields)
        return Reply(time.perf_counter() - begin, said)

    def pause(self) -> None:
        """Stop all threads and wait until they have stopped."""
        self._signal(signal.SIGSTOP)
        give_up = time.perf_counter() + 10
        tasks = Path(f"/proc/{self._pid}/task")
        while time.perf_counter() < give_up:
            try:
                if all(_state(tasks / task / "stat") in "TtZX" for task in _names(tasks)):
                    return
            except OSError:
                return
        raise self._failed("process did not stop when it was told to")

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        try:
            os.kill(self._pid, number)
        except ProcessLookupError:
            raise self._failed(f"process ended: {self.last_words()}") from None

    def processes(self) -> int:
        """Number of processes that the candidate started."""
        found, todo = 0, [self._pid]
        while todo:
            pid = todo.pop()
            try:
                for task in _names(Path(f"/proc/{pid}/task")):
                    more = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii").split()
                    found += len(more)
                    todo += [int(item) for item in more]
            except OSError:
                continue
        return found

    def cpu_seconds(self) -> float:
        """User and system time that the candidate has used so far."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise self._failed(f"process ended: {self.last_words()}") from None

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        give_up = time.perf_counter() + timeout_s
        while b"\n" not in self._buffer:
            left = give_up - time.perf_counter()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise self._failed(f"process took longer than {timeout_s:.0f} s and was stopped")
            block = self._socket.recv(1 << 16)
            if not block:
                raise self._failed(f"process ended: {self.last_words()}")
            self._buffer += block
            if len(self._buffer) > _MAX_LINE:
                raise self._failed("process wrote more into the control channel than any answer has")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or (self._seq and said.get("seq") != self._seq):
            raise self._failed("process wrote into the control channel: its answer is not the one that was asked for")
        return said

    def _failed(self, what: str) -> CandidateFailed:
        return CandidateFailed(f"the {self.role}'s {what}", self.role)

    def last_words(self) -> str:
        """The end of what the process printed, at most 1,500 characters."""
        if self._process is not None:
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                return "it still runs"
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, size - 1500))
        text = self._words.read(1500).decode("utf-8", "replace").strip()
        self._words.seek(0, os.SEEK_END)
        code = self._process.returncode if self._process else None
        return text or f"it printed nothing (exit code {code})"

    def close(self) -> None:
        if self._process is not None:
            for pid in {self._pid, self._process.pid} - {0}:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._socket.close()
        self._words.close()
        os.close(self._descriptor)

    def __exit__(self, *_: object) -> None:
        self.close()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _state(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[0]


def site_folders() -> list[Path]:
    """Folders outside the interpreter from which the child's packages come."""
    import importlib.util

    found = []
    for name in ("torch", "tvm_ffi", "triton"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            found.append(Path(spec.origin).parents[1])
    return found

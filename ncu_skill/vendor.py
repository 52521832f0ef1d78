"""Vendor reader: NVIDIA's `ncu-report` in a child process, asked only for what the container does not say (units, SASS text, NVTX)."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncu_skill.errors import MissingDependency, UnreadableReport

if TYPE_CHECKING:
    import subprocess

TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 512 << 20


class VendorReader:
    """A lazily started worker per report. A crash or a hang of the vendor's library ends the worker, never the caller."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None

    def prepare(self, launch: int, pc: int) -> None:
        """Start the worker and let it disassemble the function at `pc` while the caller does something else; `sass` then answers at once.

        Nothing happens without the reader, and a failure shows when something is asked.
        """
        with contextlib.suppress(MissingDependency, OSError):
            child = self._child or self._start()
            assert child.stdin is not None
            child.stdin.write(json.dumps({"op": "prepare", "launch": launch, "pcs": [pc]}).encode() + b"\n")
            child.stdin.flush()

    def units(self, launch: int) -> dict[str, str]:
        """{metric: unit} of one launch."""
        return dict(self._ask({"op": "units", "launch": launch}))

    def sass(self, launch: int, pcs: Sequence[int]) -> list[str]:
        """SASS text per PC."""
        return list(self._ask({"op": "sass", "launch": launch, "pcs": list(pcs)}))

    def sources(self, launch: int, pcs: Sequence[int]) -> list[tuple[str, int] | None]:
        """(file, line) per PC, as the vendor maps it."""
        return [tuple(item) if item else None for item in self._ask({"op": "sources", "launch": launch, "pcs": list(pcs)})]

    def nvtx(self, launch: int) -> list[str]:
        """NVTX range names around the launch, outermost first."""
        return list(self._ask({"op": "nvtx", "launch": launch}))

    def _ask(self, request: dict[str, Any]) -> Any:
        child = self._child or self._start()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            line = self._line(child)
        except BrokenPipeError:
            line = b""
        if not line:
            self.close()
            raise UnreadableReport(f"NVIDIA's reader crashed on {self._path.name}: the file is damaged (the caller is unharmed)")
        answer = json.loads(line)
        if "error" in answer:
            raise UnreadableReport(f"NVIDIA's reader refuses {self._path.name}: {answer['error']}")
        return answer["ok"]

    def _line(self, child: subprocess.Popen[bytes]) -> bytes:
        import select

        assert child.stdout is not None
        end = time.monotonic() + self._timeout_s
        parts: list[bytes] = []
        total = 0
        while not parts or not parts[-1].endswith(b"\n"):
            ready, _, _ = select.select([child.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready or total > MAX_ANSWER_BYTES:
                self.close()
                raise UnreadableReport(f"NVIDIA's reader did not answer on {self._path.name} within {self._timeout_s:g} s; it was stopped")
            part = os.read(child.stdout.fileno(), 1 << 20)
            if not part:
                return b""
            total += len(part)
            parts.append(part)
        return b"".join(parts)

    def _start(self) -> subprocess.Popen[bytes]:
        import importlib.util
        import subprocess

        if importlib.util.find_spec("ncu_report") is None:
            raise MissingDependency("units and SASS text need NVIDIA's reader: pip install ncu-report")
        worker = Path(__file__).with_name("vendor_worker.py")
        self._child = subprocess.Popen(
            [sys.executable, str(worker), str(self._path.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._child

    def close(self) -> None:
        """Stop the worker."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def __del__(self) -> None:
        self.close()

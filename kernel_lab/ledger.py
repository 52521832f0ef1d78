"""Ledger: an append-only, hash-chained file of what happened in a workspace, one JSON line each.

A line is `{"entry":<canonical JSON>,"hash":"<sha256 of the previous hash and the entry's bytes>"}`. Entry 0 binds the contract.
Appending takes a file lock, one write and one fsync; a torn last line (kill -9, full disk) is set aside, never read.
Because a whole chain can be rewritten by whoever owns the file, the last (count, hash) is also kept outside the workspace: the anchor.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel_lab.errors import LedgerBroken, Unreadable
from kernel_lab.files import canonical, sha256, write_whole

START = "0" * 64
_HEAD, _MIDDLE, _END = b'{"entry":', b',"hash":"', b'"}\n'
_TAIL = len(_MIDDLE) + 64 + len(_END)
CLOCK_SLACK_S = 2.0


@dataclass(frozen=True)
class Entry:
    """One link: `body` is what happened, `time_s` seconds since the epoch, `hash` the link's own hash."""

    seq: int
    kind: str
    time_s: float
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Break:
    """The first broken link: which line, what part of it, and why."""

    seq: int
    what: str
    why: str

    def data(self) -> dict[str, Any]:
        return {"seq": self.seq, "what": self.what, "why": self.why}


class Ledger:
    """The ledger of one workspace. `anchor` is a file outside of it, or None."""

    def __init__(self, path: Path, anchor: Path | None = None) -> None:
        self.path = path
        self.anchor = anchor

    def append(self, kind: str, body: dict[str, Any]) -> Entry:
        """Add one entry and return it. Raises Unreadable when the disk cannot take it: the ledger is then as before."""
        with self._locked() as handle:
            seq, previous, last_s = self._tail(handle)
            now = time.time()
            entry = {"seq": seq, "kind": kind, "time_s": round(now, 3), "body": body}
            if now < last_s - CLOCK_SLACK_S:
                raise LedgerBroken(
                    f"the clock is {last_s - now:.0f} s behind entry {seq - 1} of {self.path.name}: set the system clock right, then run again"  # noqa: E501
                )
            data = canonical(entry)
            digest = sha256(previous.encode() + data)
            self._write(handle, _HEAD + data + _MIDDLE + digest.encode() + _END)
            if self.anchor is not None:
                self._keep_head(seq + 1, digest)
        return Entry(seq, kind, entry["time_s"], body, digest)  # type: ignore[arg-type]

    def _keep_head(self, count: int, digest: str) -> None:
        assert self.anchor is not None
        try:
            write_whole(self.anchor, canonical({"entries": count, "head": digest}))
        except OSError as error:
            raise Unreadable(
                f"the ledger's head cannot be kept in {self.anchor.parent} ({error}): set KERNEL_LAB_HOME to a folder to write to"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def _tail(self, handle: int) -> tuple[int, str, float]:
        """(next number, last hash, last time) after dropping a torn line."""
        size = os.fstat(handle).st_size
        if not size:
            return 0, START, 0.0
        reach = 1 << 16
        while True:
            block = os.pread(handle, min(size, reach), max(0, size - reach))
            lines = block.split(b"\n")
            if len(lines) > 2 or reach >= size:
                break
            reach *= 8
        if lines[-1]:
            self._set_aside(handle, size, lines[-1])
            return self._tail(handle)
        last = _parse(lines[-2] + b"\n")
        if last is None:
            raise LedgerBroken(f"the last line of {self.path} is not a ledger entry: run `kernel-lab audit`")
        return int(last[0]["seq"]) + 1, last[2], float(last[0]["time_s"])

    def _set_aside(self, handle: int, size: int, torn: bytes) -> None:
        with self.path.with_suffix(".torn").open("ab") as stream:
            stream.write(torn + b"\n")
        os.ftruncate(handle, size - len(torn))

    def _write(self, handle: int, line: bytes) -> None:
        size = os.fstat(handle).st_size
        try:
            os.lseek(handle, size, os.SEEK_SET)
            done = os.write(handle, line)
            if done != len(line):
                raise OSError(f"only {done} of {len(line)} bytes were written")
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, size)
            raise Unreadable(f"the ledger {self.path} could not take an entry ({error}); free some disk and run again") from error

    def entries(self) -> list[Entry]:
        """All entries, the chain checked. Raises LedgerBroken that names the first broken link."""
        found, broken = self.read()
        if broken:
            raise LedgerBroken(f"ledger link {broken.seq} ({broken.what}): {broken.why}; run `kernel-lab audit`")
        return found

    def read(self) -> tuple[list[Entry], Break | None]:
        """The entries up to the first broken link, and that link."""
        found: list[Entry] = []
        previous, last_s = START, 0.0
        for seq, line in enumerate(self._lines()):
            parsed = _parse(line)
            if parsed is None:
                return found, Break(seq, "line", "not a ledger entry")
            entry, raw, digest = parsed
            if sha256(previous.encode() + raw) != digest:
                return found, Break(seq, "hash", "the entry or the one before it was altered")
            if entry["seq"] != seq:
                return found, Break(seq, "seq", f"entry says {entry['seq']}: a line was removed, added or moved")
            if entry["time_s"] < last_s - CLOCK_SLACK_S:
                return found, Break(seq, "clock", "written at an earlier time than the entry before it")
            previous, last_s = digest, max(last_s, entry["time_s"])
            found.append(Entry(seq, entry["kind"], entry["time_s"], entry["body"], digest))
        return found, self._against_anchor(found)

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                yield from (line for line in stream if line.endswith(b"\n"))
        except FileNotFoundError:
            return

    def _against_anchor(self, found: list[Entry]) -> Break | None:
        if self.anchor is None or not self.anchor.is_file():
            return None
        try:
            kept = json.loads(self.anchor.read_bytes())
            count, head = int(kept["entries"]), str(kept["head"])
        except (ValueError, KeyError, TypeError):
            return Break(len(found), "anchor", f"{self.anchor} is not readable")
        if len(found) < count:
            return Break(len(found), "anchor", f"the ledger was cut: {count} entries were written, {len(found)} are there")
        if count and found[count - 1].hash != head:
            return Break(count - 1, "anchor", "the chain was written anew: its hash is not the one kept outside the workspace")
        return None

    def clock_break(self) -> Break | None:
        """A break when this machine's clock is behind the last entry."""
        found, _ = self.read()
        late = found[-1].time_s - time.time() if found else 0.0
        return Break(len(found), "clock", f"the system clock is {late:.0f} s behind the last entry") if late > CLOCK_SLACK_S else None


def _parse(line: bytes) -> tuple[dict[str, Any], bytes, str] | None:
    """(entry, its raw bytes, hash) of one line, None when it has another form."""
    if not (line.startswith(_HEAD) and line.endswith(_END) and line[-_TAIL:].startswith(_MIDDLE)):
        return None
    raw = line[len(_HEAD) : -_TAIL]
    try:
        entry = json.loads(raw)
        ok = isinstance(entry["seq"], int) and isinstance(entry["kind"], str) and isinstance(entry["body"], dict) and entry["time_s"] >= 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (entry, raw, line[-_TAIL + len(_MIDDLE) : -len(_END)].decode("ascii", "replace")) if ok else None

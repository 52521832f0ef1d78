"""The ledger: whole after concurrent writers, kill -9 and a full disk; every alteration is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernel_lab.errors import LedgerBroken, Unreadable
from kernel_lab.files import canonical, sha256
from kernel_lab.ledger import START, Ledger

WRITER = (
    "import sys; from pathlib import Path; from kernel_lab.ledger import Ledger\nledger = Ledger(Path(sys.argv[1]), Path(sys.argv[2]))\n"
)


def filled(folder: Path, count: int = 5) -> Ledger:
    ledger = Ledger(folder / "ledger.jsonl", folder / "anchor.json")
    for number in range(count):
        ledger.append("note", {"number": number})
    return ledger


def long_ledger(path: Path, count: int) -> None:
    previous, lines = START, []
    for seq in range(count):
        raw = canonical(
            {
                "seq": seq,
                "kind": "verdict",
                "time_s": 1000.0 + seq,
                "body": {"candidate": f"{seq:064x}", "verdict": "fail", "rows": [seq] * 8},
            }
        )
        previous = sha256(previous.encode() + raw)
        lines.append(b'{"entry":' + raw + b',"hash":"' + previous.encode() + b'"}\n')
    path.write_bytes(b"".join(lines))


def test_entries_come_back_in_order_and_chained(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    assert [entry.body["number"] for entry in ledger.entries()] == [0, 1, 2, 3, 4]
    assert [entry.seq for entry in ledger.entries()] == [0, 1, 2, 3, 4]


def test_many_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    code = WRITER + "for number in range(40): ledger.append('note', {'who': sys.argv[3], 'number': number})"
    arguments = [str(tmp_path / "ledger.jsonl"), str(tmp_path / "anchor.json")]
    running = [subprocess.Popen([sys.executable, "-c", code, *arguments, str(who)]) for who in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    entries = Ledger(tmp_path / "ledger.jsonl", tmp_path / "anchor.json").entries()
    assert len(entries) == 160
    for who in "0123":
        assert [entry.body["number"] for entry in entries if entry.body["who"] == who] == list(range(40))


def test_kill_minus_9_while_writing_leaves_a_valid_ledger(tmp_path: Path) -> None:
    code = WRITER + "number = 0\nwhile True:\n    ledger.append('note', {'number': number, 'text': 'x' * 3000}); number += 1"
    path = tmp_path / "ledger.jsonl"
    for _ in range(4):
        before = len(Ledger(path).entries())
        process = subprocess.Popen([sys.executable, "-c", code, str(path), str(tmp_path / "anchor.json")])
        give_up = time.monotonic() + 30
        while len(Ledger(path).read()[0]) < before + 5 and time.monotonic() < give_up:
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
        process.wait()
        ledger = Ledger(path, tmp_path / "anchor.json")
        assert ledger.read()[1] is None
        ledger.append("note", {"number": -1, "text": ""})
        assert ledger.entries()[-1].body["number"] == -1


def test_a_torn_last_line_is_set_aside_and_writing_goes_on(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    with ledger.path.open("ab") as stream:
        stream.write(b'{"entry":{"body":{"numb')
    assert len(ledger.entries()) == 5
    ledger.append("note", {"number": 5})
    assert [entry.body["number"] for entry in ledger.entries()] == [0, 1, 2, 3, 4, 5]
    assert ledger.path.with_suffix(".torn").read_bytes() == b'{"entry":{"body":{"numb\n'


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    """A file-size limit is what stands in for the full disk: the kernel refuses the write in the same way, part of the way through."""
    ledger = filled(tmp_path)
    whole = ledger.path.read_bytes()
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        + WRITER
        + (
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(whole) + 100}, {len(whole) + 100}))\nledger.append('note', {{'text': 'x' * 5000}})"  # noqa: E501
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ledger.path), str(ledger.anchor)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode != 0 and "Unreadable" in done.stderr and "free some disk" in done.stderr
    assert ledger.path.read_bytes() == whole
    ledger.append("note", {"number": 5})
    assert len(ledger.entries()) == 6


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b'"number":2', b'"number":7'), *lines[3:]], "hash"),
        (lambda lines: [*lines[:2], *lines[3:]], "hash"),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "hash"),
        (lambda lines: [*lines[:2], b"not a line\n", *lines[3:]], "line"),
        (lambda lines: [*lines[:2], lines[2], lines[2], *lines[3:]], "hash"),
    ],
    ids=["edited", "removed", "swapped", "replaced", "doubled"],
)
def test_the_first_broken_link_is_named(change: object, what: str, tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(change(lines)))  # type: ignore[operator]
    _, broken = ledger.read()
    assert broken is not None and broken.what == what and broken.seq in (2, 3)
    with pytest.raises(LedgerBroken, match=f"link {broken.seq}"):
        ledger.entries()


def test_cutting_the_end_off_is_seen_by_the_head_kept_outside(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:3]))
    broken = ledger.read()[1]
    assert broken is not None and broken.what == "anchor" and "5 entries were written, 3 are there" in broken.why


def test_a_chain_that_was_written_anew_is_seen_by_the_head_kept_outside(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    ledger.path.unlink()
    other = Ledger(ledger.path)
    for number in range(6):
        other.append("note", {"number": number + 100})
    broken = ledger.read()[1]
    assert broken is not None and broken.what == "anchor"


def test_a_clock_that_goes_backwards_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = filled(tmp_path)
    real = time.time()
    monkeypatch.setattr("kernel_lab.ledger.time.time", lambda: real - 3600)
    with pytest.raises(LedgerBroken, match="clock"):
        ledger.append("note", {})
    late = ledger.clock_break()
    assert late is not None and late.what == "clock"


def test_an_empty_ledger_has_no_entries_and_is_whole(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "none.jsonl").read() == ([], None)


def test_ten_thousand_entries_open_in_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    long_ledger(path, 10_000)
    begin = time.process_time()
    found, broken = Ledger(path).read()
    assert broken is None and len(found) == 10_000
    assert time.process_time() - begin < 2.0


def test_an_unwritable_place_is_an_error_that_says_so(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    assert issubclass(Unreadable, Exception)
    ledger.path.write_bytes(ledger.path.read_bytes() + b"garbage\n")
    with pytest.raises(LedgerBroken, match="not a ledger entry"):
        ledger.append("note", {})

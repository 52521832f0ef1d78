"""Audit: proves the ledger, every file that it binds and the contract, or names the first broken link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kernel_lab import contract as contracts
from kernel_lab.errors import ContractBroken, LabError
from kernel_lab.files import sha256, sha256_file
from kernel_lab.ledger import Break, Entry
from kernel_lab.solution import read_solution
from kernel_lab.workspace import Workspace


def audit_workspace(workspace: Workspace) -> dict[str, Any]:
    """{ok, entries, head, broken: the first broken link or None, all: every one, notes}"""
    entries, broken = workspace.ledger.read()
    found = [broken] if broken else []
    late = workspace.ledger.clock_break()
    found += [late] if late and not broken else []
    if not entries and not broken:
        found.append(Break(0, "ledger", "there is no entry: not even the contract is bound"))
    found += _evidence(workspace, entries)
    found += _candidates(workspace, entries)
    found += _contract(workspace, entries)
    return {
        "ok": not found, "entries": len(entries), "head": entries[-1].hash if entries else "",
        "broken": found[0].data() if found else None, "all": [item.data() for item in found][:50], "notes": _notes(workspace, entries),
    }  # fmt: skip


def _evidence(workspace: Workspace, entries: list[Entry]) -> list[Break]:
    """Evidence files and kept compile results whose bytes the ledger names."""
    found: list[Break] = []
    for entry in entries:
        if "evidence" in entry.body:
            found += _file(
                workspace.root / str(entry.body["evidence"]),
                str(entry.body["evidence_sha256"]),
                entry,
                "verdict file" if entry.kind == "verdict" else "evidence",
                required=True,
            )
    latest = {entry.body["cache"]: entry for entry in entries if entry.kind == "compile"}
    for key, entry in latest.items():
        found += _file(workspace.cache / f"{key}.json", str(entry.body["sha256"]), entry, "cache", required=False)
    return found


def _file(path: Path, digest: str, entry: Entry, what: str, required: bool) -> list[Break]:
    if not path.is_file():
        return [Break(entry.seq, what, f"{path.name} is missing")] if required else []
    return [] if sha256_file(path) == digest else [Break(entry.seq, what, f"{path.name} was edited")]


def _candidates(workspace: Workspace, entries: list[Entry]) -> list[Break]:
    """Stored candidates whose bytes are not what their id says, and those that the ledger names and are gone."""
    found: list[Break] = []
    first = {str(entry.body["candidate"]): entry for entry in reversed(entries) if "candidate" in entry.body}
    for path in sorted(workspace.candidates.glob("*.json")):
        if sha256(path.read_bytes()) == path.stem:
            continue
        try:
            same = read_solution(path).id == path.stem
        except LabError:
            same = False
        if not same:
            found.append(Break(first[path.stem].seq if path.stem in first else -1, "candidate", f"candidates/{path.name} was edited"))
    found += [
        Break(entry.seq, "candidate", f"candidates/{name}.json is missing")
        for name, entry in first.items()
        if not (workspace.candidates / f"{name}.json").is_file()
    ]
    return found


def _contract(workspace: Workspace, entries: list[Entry]) -> list[Break]:
    bound = next((entry for entry in reversed(entries) if entry.kind == "contract"), None)
    seq = bound.seq if bound else 0
    try:
        return [Break(seq, name, why) for name, why in contracts.differences(workspace.contract, workspace.bound_contract(entries))]
    except (ContractBroken, LabError) as error:
        return [Break(seq, "contract", str(error))]


def _notes(workspace: Workspace, entries: list[Entry]) -> list[str]:
    notes = []
    anchor = workspace.ledger.anchor
    if anchor is None or not anchor.is_file():
        notes.append(
            "no head of this ledger is kept outside the workspace on this machine: a chain written anew as a whole could not be told"
        )
    changes = sum(entry.kind == "contract" for entry in entries)
    if changes > 1:
        notes.append(f"the contract was frozen {changes} times; verdicts under earlier ones do not count")
    if workspace.ledger.path.with_suffix(".torn").is_file():
        notes.append("ledger.torn holds a line that was cut off while it was written; it was never part of the chain")
    return notes

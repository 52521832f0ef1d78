"""Workspace: the folder of one task: where everything lies, the stored candidates, and what the ledger says of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import platformdirs

from kernel_lab import contract as contracts
from kernel_lab.contract import Contract
from kernel_lab.errors import BadInput, ContractBroken, LabError, NotFound
from kernel_lab.files import canonical, sha256, write_whole
from kernel_lab.ledger import Entry, Ledger
from kernel_lab.solution import Solution, read_solution

MIN_PREFIX = 8


def state_home() -> Path:
    """Where anchors lie, outside of every workspace: KERNEL_LAB_HOME, or the platform's state folder."""
    return Path(os.environ.get("KERNEL_LAB_HOME") or platformdirs.user_state_dir("kernel-lab"))


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace, and its parts."""

    root: Path

    @classmethod
    def find(cls, path: Path) -> Workspace:
        """The workspace at `path`, or above it. Raises NotFound."""
        start = path.resolve()
        for folder in (start, *start.parents):
            if (folder / "task.toml").is_file() and (folder / "contract").is_dir():
                return cls(folder)
        raise NotFound(f"{path} is in no workspace: `kernel-lab init DIR --dataset … --definition … --baseline …` makes one")

    @property
    def contract_folder(self) -> Path:
        return self.root / "contract"

    @property
    def candidates(self) -> Path:
        return self.root / "candidates"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        return self.root / ".lab" / "cache"

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.root / "ledger.jsonl", state_home() / "anchors" / f"{sha256(str(self.root).encode())[:32]}.json")

    @cached_property
    def contract(self) -> Contract:
        return contracts.load(self.contract_folder)

    def bound_contract(self, entries: list[Entry]) -> str | None:
        """Hash of the contract that the ledger binds now."""
        return next((str(entry.body["contract"]) for entry in reversed(entries) if entry.kind == "contract"), None)

    def checked(self) -> tuple[Contract, list[Entry]]:
        """The contract and the ledger, both proved whole. Raises ContractBroken or LedgerBroken naming the part."""
        entries = self.ledger.entries()
        late = self.ledger.clock_break()
        if late:
            raise ContractBroken(f"the contract is broken:\n  clock: {late.why}", ("clock",))
        contracts.check(self.contract, self.bound_contract(entries))
        return self.contract, entries

    def store(self, solution: Solution) -> Path:
        """Keep a candidate's bytes under its id."""
        path = self.candidates / f"{solution.id}.json"
        if not path.is_file():
            write_whole(path, canonical(solution.document))
        return path

    def resolve(self, text: str) -> Solution:
        """A candidate from its id, a prefix of at least 8 characters, or a path to a packed solution. Raises NotFound or BadInput."""
        path = Path(text).expanduser()
        if path.is_file():
            return read_solution(path)
        if path.suffix == ".json" or os.sep in text:
            inside = self.root / text
            if inside.is_file():
                return read_solution(inside)
            raise NotFound(f"{text} does not exist; give a packed solution.json or a candidate's id (`kernel-lab log` lists them)")
        if len(text) < MIN_PREFIX or not all(char in "0123456789abcdef" for char in text):
            raise BadInput(
                f"{text!r} is no candidate: give an id (at least {MIN_PREFIX} hexadecimal characters) or a path to a solution.json"
            )
        found = sorted(self.candidates.glob(f"{text}*.json"))
        if len(found) != 1:
            raise NotFound(f"{len(found)} candidates begin with {text}; `kernel-lab log` lists them")
        solution = read_solution(found[0])
        if solution.id != found[0].stem:
            raise LabError(f"candidates/{found[0].name} was edited: its bytes are {solution.id[:12]}; run `kernel-lab audit`")
        return solution

    def keep_run(self, kind: str, data: dict[str, Any]) -> tuple[str, str]:
        """Write evidence below runs/ and return (path inside the workspace, its hash)."""
        body = canonical(data)
        digest = sha256(body)
        path = self.runs / f"{kind}-{data['candidate'][:8]}-{digest[:12]}.json"
        write_whole(path, body)
        return path.relative_to(self.root).as_posix(), digest

"""Lab: the facade. Command line and MCP server call it and nothing below it; every answer is a JSON-ready dict with schema_version."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kernel_lab import contract as contracts
from kernel_lab import environment, verification, views
from kernel_lab.audit import audit_workspace
from kernel_lab.build import build
from kernel_lab.errors import BadInput, NotFound, Refused
from kernel_lab.files import sha256, write_whole
from kernel_lab.gates import TIMED
from kernel_lab.ledger import Entry
from kernel_lab.solution import Solution, pack, unpack
from kernel_lab.timing import geometric_mean
from kernel_lab.workspace import Workspace, state_home

Progress = Callable[[str, int, int], None]
SCHEMA_VERSION = 1
IGNORED = ".lab/\nruns/\nprofile/\n"


def _answer(**fields: Any) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, **fields}


class Lab:
    """One workspace. `Lab.open(path)` finds it, `Lab.init(path, …)` makes it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @classmethod
    def open(cls, path: str | Path = ".") -> Lab:
        return cls(Workspace.find(Path(path)))

    @classmethod
    def init(  # noqa: PLR0917
        cls, path: str | Path, dataset: str | Path, definition: str, baseline: str | Path, arch: str = "sm_90a",
        policy: str = "leaderboard", backend: str = "", evaluation: dict[str, Any] | None = None,
    ) -> Lab:  # fmt: skip
        """Make a workspace and freeze its contract. Raises BadInput for a folder that holds one, NotFound for what is not in the dataset.

        `evaluation` fills task.toml's table of that name (tolerances, rounds); afterwards only a person's edit and `freeze` change it.
        """
        root = Path(path).resolve()
        if (root / "ledger.jsonl").exists() or (root / "task.toml").exists():
            raise BadInput(f"{root} is a workspace already; name another folder, or edit task.toml and run `kernel-lab freeze`")
        if arch not in contracts.ARCHS or policy not in contracts.POLICIES:
            raise BadInput(f"arch {arch!r}, policy {policy!r}; valid: {', '.join(contracts.ARCHS)}; {', '.join(contracts.POLICIES)}")
        given = Path(baseline)
        named = str(given.resolve()) if given.is_file() else str(baseline)
        text = contracts.task_text(
            Path(dataset).resolve(), definition, named, arch, policy, backend or ("cpu" if arch == "cpu" else "cuda")
        )
        for key, value in (evaluation or {}).items():
            text = text.replace(f"\n{key} = {contracts.EVALUATION.get(key)}\n", f"\n{key} = {value}\n")
        new = not root.exists()
        try:
            write_whole(root / "task.toml", text.encode())
            (root / "contract").mkdir(exist_ok=True)
            lab = cls(Workspace(root))
            if lab.workspace.ledger.anchor is not None:
                lab.workspace.ledger.anchor.unlink(missing_ok=True)
            lab._freeze()
        except BaseException:
            (root / "task.toml").unlink(missing_ok=True)
            shutil.rmtree(root / "contract", ignore_errors=True)
            if new:
                shutil.rmtree(root, ignore_errors=True)
            raise
        (root / "src").mkdir(exist_ok=True)
        write_whole(root / ".gitignore", IGNORED.encode())
        views.write_views(lab.workspace)
        return lab

    def freeze(self) -> dict[str, Any]:
        """Freeze task.toml anew: a person's act. Earlier verdicts stay in the ledger but no longer allow a promotion."""
        self.workspace.ledger.entries()
        entry = self._freeze()
        return _answer(contract=self.workspace.contract.summary(), entry=entry.seq)

    def _freeze(self) -> Entry:
        root = self.workspace.root
        task = contracts.read_task(root / "task.toml")
        made = contracts.freeze(task, self.workspace.contract_folder, root)
        self.workspace.__dict__.pop("contract", None)
        body = {
            "contract": made.sha256,
            "lock_file": sha256((made.folder / "lock.json").read_bytes()),
            "definition": made.definition.name,
            "baseline": made.baseline.id,
        }
        return self.workspace.ledger.append("contract", body)

    def status(self) -> dict[str, Any]:
        """Where the work stands and the command to run next."""
        workspace = self.workspace
        entries, broken = workspace.ledger.read()
        contract = workspace.contract
        state = views.State.of(entries, workspace.bound_contract(entries))
        problems = contracts.differences(contract, workspace.bound_contract(entries)) if broken is None else []
        if broken or problems:
            following = "kernel-lab audit"
        elif state.passed and state.passed != state.incumbent:
            following = f"kernel-lab promote {state.passed[:12]}"
        elif state.last and state.last["verdict"] != "pass":
            following = "kernel-lab log --failed"
        elif not (workspace.root / "src").is_dir() or not any((workspace.root / "src").iterdir()):
            following = "kernel-lab unpack contract/baseline.json src"
        else:
            following = "kernel-lab pack src -o solution.json && kernel-lab verify solution.json"
        return _answer(
            contract=contract.summary(), definition=contract.definition.name, arch=contract.arch, backend=contract.backend, root=str(workspace.root),  # noqa: E501
            candidates=len(state.candidates), incumbent=state.incumbent, last_verdict=state.last,
            ledger={"entries": len(entries), "head": entries[-1].hash if entries else "", "ok": broken is None},
            problems=[{"name": name, "why": why} for name, why in problems], next=following,
        )  # fmt: skip

    def pack(self, folder: str | Path | None = None, out: str | Path | None = None) -> dict[str, Any]:
        """Pack a folder (default src/) into a solution.json and keep it as a candidate."""
        source = Path(folder) if folder else self.workspace.root / "src"
        solution = pack(source)
        self._own(solution)
        path = self.workspace.store(solution)
        if out:
            write_whole(Path(out), path.read_bytes())
        return _answer(candidate=solution.id, name=solution.name, path=str(out or path), sources=list(solution.sources))

    def unpack(self, candidate: str, folder: str | Path) -> dict[str, Any]:
        """Write a candidate's sources into a new folder: the inverse of pack."""
        solution = self.workspace.resolve(candidate)
        target = Path(folder)
        return _answer(candidate=solution.id, files=[str(path) for path in unpack(solution, target)])

    def compile(self, candidate: str) -> dict[str, Any]:
        """Compile for the contract's architecture; no GPU is needed."""
        solution, contract = self._candidate(candidate), self.workspace.contract
        found = build(solution, contract.definition, contract.arch, self.workspace.cache, contract.workloads[0])
        if not found["cached"]:
            path = self.workspace.cache / f"{found['cache_key']}.json"
            self.workspace.ledger.append(
                "compile",
                {
                    "candidate": solution.id,
                    "ok": found["ok"],
                    "stage": found["stage"],
                    "cache": found["cache_key"],
                    "sha256": sha256(path.read_bytes()),
                },
            )
        elif not self._cache_is_known(found["cache_key"]):
            (self.workspace.cache / f"{found['cache_key']}.json").unlink()
            return {**self.compile(candidate), "note": "the kept result was not the one in the ledger: compiled anew"}
        return _answer(**found)

    def _cache_is_known(self, key: str) -> bool:
        digest = sha256((self.workspace.cache / f"{key}.json").read_bytes())
        return any(
            entry.kind == "compile" and entry.body.get("cache") == key and entry.body.get("sha256") == digest
            for entry in self.workspace.ledger.entries()
        )

    def score(self, candidate: str, progress: Progress | None = None) -> dict[str, Any]:
        """Latency per workload beside the baseline and the incumbent; every call is checked. Resumes where an earlier run was cut off."""
        return _answer(**verification.score(self.workspace, self._candidate(candidate), progress))

    def verify(self, candidate: str, progress: Progress | None = None) -> dict[str, Any]:
        """Every gate. The verdict is pass, fail or review; raises ContractBroken or LedgerBroken before anything runs."""
        return _answer(**verification.verify(self.workspace, self._candidate(candidate), progress))

    def _candidate(self, text: str) -> Solution:
        solution = self.workspace.resolve(text)
        self._own(solution)
        self.workspace.store(solution)
        return solution

    def _own(self, solution: Solution) -> None:
        name = self.workspace.contract.definition.name
        if solution.definition != name:
            raise BadInput(
                f"the candidate solves {solution.definition!r}; this workspace is for {name!r}: set `definition` in solution.toml"
            )

    def record(self, candidate: str, note: str = "", parent: str | None = None, lesson: str = "") -> dict[str, Any]:
        """Keep what was tried and learnt; failures belong here as much as gains."""
        solution = self._candidate(candidate)
        body = {"candidate": solution.id, "name": solution.name, "note": note[:4000], "lesson": lesson[:4000]}
        if parent:
            body["parent"] = self.workspace.resolve(parent).id
            if body["parent"] == solution.id:
                raise BadInput("a candidate cannot be its own parent")
        entry = self.workspace.ledger.append("record", body)
        views.write_views(self.workspace)
        return _answer(entry=entry.seq, **body)

    def promote(self, candidate: str) -> dict[str, Any]:
        """Make a candidate the incumbent. Needs a passing verdict for the same bytes and contract. Raises Refused."""
        contract, entries = self.workspace.checked()
        solution = self._candidate(candidate)
        verdict = next((entry for entry in reversed(entries) if entry.kind == "verdict" and entry.body["candidate"] == solution.id), None)
        if wrong := _wrong_before(entries, contract, solution.id):
            raise Refused(f"{solution.id[:12]} cannot be promoted: {wrong}")
        why = self._against(contract, verdict)
        if why or verdict is None:
            raise Refused(f"{solution.id[:12]} cannot be promoted: {why}; run `kernel-lab verify {solution.id[:12]}`")
        state = views.State.of(entries, contract.sha256)
        if state.incumbent == solution.id:
            raise Refused(f"{solution.id[:12]} is the incumbent already")
        gain = self._gain(verdict, state.incumbent)
        entry = self.workspace.ledger.append(
            "promote", {"candidate": solution.id, "verdict": verdict.hash, "contract": contract.sha256, "replaces": state.incumbent, **gain}
        )
        views.write_views(self.workspace)
        return _answer(candidate=solution.id, entry=entry.seq, replaces=state.incumbent, **gain)

    def _against(self, contract: contracts.Contract, verdict: Entry | None) -> str:  # noqa: PLR0911
        """Why a verdict does not allow a promotion, empty when it does."""
        if verdict is None:
            return "no verdict for these bytes"
        if verdict.body["verdict"] != "pass":
            return f"its last verdict is {verdict.body['verdict']}"
        if verdict.body["contract"] != contract.sha256:
            return "its verdict is for an earlier contract"
        if verdict.body["judge"] != environment.judge_digest():
            return "its verdict is by another version of the judge"
        if contract.arch != "cpu" and verdict.body["backend"] == "cpu":
            return "a CPU run proves nothing about a CUDA contract"
        path = self.workspace.root / verdict.body["evidence"]
        if not path.is_file() or sha256(path.read_bytes()) != verdict.body["evidence_sha256"]:
            return "the evidence of its verdict is missing or was edited"
        return ""

    def _gain(self, verdict: Entry, incumbent: str | None) -> dict[str, Any]:
        """The gain over what it replaces. Raises Refused for one that is slower, or no faster than an incumbent, beyond the noise."""
        base = verdict.body["vs_baseline"]
        if base["high"] < 1.0:
            raise Refused(f"it is slower than the baseline ({base['value']:.3f}x): the untouched baseline stays")
        against = verdict.body.get("vs_incumbent")
        if incumbent and (verdict.body.get("incumbent") != incumbent or against is None):
            raise Refused("it was verified beside another incumbent: verify it again")
        if incumbent and against is not None and against["low"] <= 1.0:
            raise Refused(
                f"it is not faster than the incumbent beyond the noise ({against['value']:.3f}x, interval {against['low']:.3f} to {against['high']:.3f})"  # noqa: E501
            )
        return {"vs_baseline": base["value"], "vs_incumbent": against["value"] if against else None}

    def audit(self) -> dict[str, Any]:
        """Prove the ledger, what it binds and the contract, or name the first broken link."""
        return _answer(**audit_workspace(self.workspace))

    def log(self, failed: bool = False) -> dict[str, Any]:
        """What was tried, newest last; `failed` only what did not pass, with its lessons: directions not to repeat."""
        entries = self.workspace.ledger.entries()
        rows = views.history(entries)
        if failed:
            rows = [row for row in rows if row["verdict"] in ("fail", "review") or row["lessons"]]
        views.write_views(self.workspace)
        return _answer(total=len(rows), candidates=rows)

    @staticmethod
    def doctor() -> dict[str, Any]:
        """What of this machine the lab needs, and what to install."""
        from kernel_lab.doctor import check

        return _answer(**check())


def _wrong_before(entries: Sequence[Entry], contract: contracts.Contract, candidate: str) -> str:
    """Why an earlier verdict of the same bytes stands against them: hidden inputs are drawn anew each time, so that trying until it passes
    would promote what is right only now and then. Empty when there is none; what a busy machine may have decided does not count."""
    for entry in entries:
        body = entry.body
        if entry.kind == "verdict" and body["candidate"] == candidate and body["contract"] == contract.sha256:
            wrong = [name for name in body["failed"] if name not in TIMED] if body["verdict"] == "fail" else []
            if wrong:
                return f"the same bytes failed {wrong[0]} before (entry {entry.seq}), and a later pass does not undo it: change the sources"
    return ""


def anchor_home() -> Path:
    """Where ledgers' heads are kept, outside of every workspace."""
    return state_home() / "anchors"


def overall(rows: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Geometric mean of one ratio and of its interval's ends over the workloads."""
    found = [row[key] for row in rows if key in row]
    if not found:
        raise NotFound(f"no workload has {key}")
    return {name: round(geometric_mean([max(1e-9, min(1e9, float(item[name]))) for item in found]), 4) for name in ("value", "low", "high")}


def now() -> float:
    return time.time()

"""Verification: one candidate through every gate, by the contract's backend, with the result bound into the ledger."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kernel_lab import contract as contracts
from kernel_lab import environment, views
from kernel_lab.backends import backend_for
from kernel_lab.build import build
from kernel_lab.contract import Contract
from kernel_lab.dataset import FLOATS
from kernel_lab.environment import Clocks, clocks_disagree
from kernel_lab.errors import MissingBackend
from kernel_lab.gates import Gate, ordered, policy_gate, scan_gate, verdict_of
from kernel_lab.ledger import Entry
from kernel_lab.scan import Mark, scan
from kernel_lab.solution import Solution
from kernel_lab.timing import geometric_mean
from kernel_lab.workspace import Workspace

Progress = Callable[[str, int, int], None]


def _silent(step: str, done: int, total: int) -> None:
    """No progress wanted."""


def verify(workspace: Workspace, candidate: Solution, progress: Progress | None = None) -> dict[str, Any]:
    """Run every gate and write the verdict. Raises ContractBroken, LedgerBroken or MissingBackend before the candidate runs."""
    tell = progress or _silent
    contract, entries = workspace.checked()
    backend = backend_for(contract)
    backend.require()
    incumbent_id = views.State.of(entries, contract.sha256).incumbent
    incumbent = workspace.resolve(incumbent_id) if incumbent_id else None
    clocks = Clocks.now()
    tell("scan", 0, 3)
    marks = scan(candidate, _floats_are_wide(contract), _scalars(contract))
    tell("compile", 1, 3)
    compiled = _compile_gate(candidate, contract)
    tell("run", 2, 3)
    gates = [scan_gate(marks), compiled]
    rows: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}
    if compiled.outcome != "fail":
        ran = backend.judge(candidate, incumbent, tell)
        gates += ran.gates
        rows, extra = ran.rows, ran.extra
    gates.append(policy_gate(marks, candidate, contract, extra.get("kernels", [])))
    gates.append(_timer_gate(contract, clocks, extra))
    gates.append(_contract_gate(workspace, contract))
    gates = ordered(gates)
    return _write(workspace, contract, candidate, incumbent_id, gates, rows, extra, marks)


def _floats_are_wide(contract: Contract) -> bool:
    floats = [tensor.dtype for tensor in (*contract.definition.inputs, *contract.definition.outputs) if tensor.dtype in FLOATS]
    return bool(floats) and all(name in ("float32", "float64") for name in floats)


def _scalars(contract: Contract) -> frozenset[int]:
    return frozenset(place for place, tensor in enumerate(contract.definition.inputs) if tensor.shape is None)


def _compile_gate(candidate: Solution, contract: Contract) -> Gate:
    """Compiled from nothing: a kept result is never evidence."""
    try:
        found = build(candidate, contract.definition, contract.arch, None, contract.workloads[0])
    except MissingBackend as error:
        return Gate("compile", "skip", f"not compiled: {error}")
    errors = [line for line in found["log"] if line["severity"] == "error"]
    if not found["ok"]:
        first = errors[0] if errors else {"file": "", "line": 0, "text": found["note"]}
        return Gate("compile", "fail", f"{found['stage']}: {first['file']}:{first['line']}: {first['text']}", found["log"])
    paths = [name for name, used in found["paths"].items() if used]
    facts = {key: found[key] for key in ("stage", "registers", "spills", "shared_bytes", "stack_bytes", "code_sha256")}
    return Gate(
        "compile",
        "pass",
        found["note"] or f"{found['stage']}; hardware paths used: {', '.join(paths) or 'none of the named ones'}",
        [{**facts, "paths": paths}],
    )


def _timer_gate(contract: Contract, before: Clocks, extra: dict[str, Any]) -> Gate:
    """The clocks of this machine against one another, and whatever the backend could cross-check."""
    drift = before.drift(Clocks.now())
    problem = clocks_disagree(drift) or str(extra.get("timer_problem", ""))
    evidence = [{"clocks": drift}, *({key: value for key, value in row.items() if key != "kernels"} for row in extra.get("kernels", []))]
    if problem:
        return Gate("timer", "fail", problem, evidence)
    if extra.get("timer_doubt"):
        return Gate("timer", "review", str(extra["timer_doubt"]), evidence)
    return Gate("timer", "pass", f"{extra.get('timer', contract.lock['timer'])}; the clocks agree", evidence)


def _contract_gate(workspace: Workspace, contract: Contract) -> Gate:
    """The contract once more, after the run: nothing was edited meanwhile."""
    entries, broken = workspace.ledger.read()
    found = contracts.differences(contracts.load(contract.folder), workspace.bound_contract(entries))
    if broken:
        found.append(("ledger", broken.why))
    if found:
        return Gate("contract", "fail", f"{found[0][0]}: {found[0][1]} (while the candidate ran)", [list(item) for item in found])
    return Gate("contract", "pass", f"lock {contract.sha256[:12]} held before and after the run", [])


def _means(rows: list[dict[str, Any]], key: str) -> dict[str, float] | None:
    found = [row[key] for row in rows if isinstance(row.get(key), dict)]
    if not found or len(found) != len(rows):
        return None
    return {name: round(geometric_mean([min(1e9, max(1e-9, float(item[name]))) for item in found]), 4) for name in ("value", "low", "high")}


def _slim(row: dict[str, Any]) -> dict[str, Any]:
    """A workload's row as the ledger and the answers carry it."""
    ratio = row.get("vs_baseline")
    return {
        "workload": row["uuid"], "uuid": row["uuid"], "latency_ms": row.get("latency_ms"), "baseline_ms": row.get("baseline_ms"),
        "incumbent_ms": row.get("incumbent_ms"), "reference_ms": row.get("reference_ms"),
        "vs_baseline": ratio["value"] if isinstance(ratio, dict) else ratio, "vs_reference": row.get("vs_reference"), "noise": row.get("noise"),  # noqa: E501
        "runs": len(row.get("candidate_runs_ms", [])), "status": row["status"],
    }  # fmt: skip


def _versions(contract: Contract) -> dict[str, Any]:
    return {
        "judge": environment.judge_digest(),
        "versions": environment.versions(),
        "scorer": environment.scorer(),
        "device": environment.gpu() or {"name": "cpu"},
        "backend": contract.backend,
    }


def _write(  # noqa: PLR0917
    workspace: Workspace, contract: Contract, candidate: Solution, incumbent: str | None, gates: list[Gate], rows: list[dict[str, Any]],
    extra: dict[str, Any], marks: list[Mark],
) -> dict[str, Any]:  # fmt: skip
    verdict = verdict_of(gates)
    facts = {
        "candidate": candidate.id,
        "name": candidate.name,
        "contract": contract.sha256,
        "baseline": contract.baseline.id,
        "incumbent": incumbent,
    }
    document = {
        **facts,
        "verdict": verdict,
        "gates": [gate.data() for gate in gates],
        "workloads": rows,
        "marks": [mark.data() for mark in marks][:60],
        **_versions(contract),
        **extra,
    }
    path, digest = workspace.keep_run("verdict", _finite(document))
    body = {
        **facts, "verdict": verdict, "failed": [gate.name for gate in gates if gate.outcome in ("fail", "review")], "evidence": path, "evidence_sha256": digest,  # noqa: E501
        "timer": extra.get("timer", contract.lock["timer"]), "vs_baseline": _means(rows, "vs_baseline") or {"value": 0.0, "low": 0.0, "high": 0.0},  # noqa: E501
        "vs_incumbent": _means(rows, "vs_incumbent"), "rows": [_slim(row) for row in rows], **_versions(contract),
    }  # fmt: skip
    entry = workspace.ledger.append("verdict", _finite(body))
    views.write_views(workspace)
    answer = {
        "candidate": candidate.id, "name": candidate.name, "verdict": verdict, "gates": document["gates"], "workloads": [_slim(row) for row in rows],  # noqa: E501
        "vs_baseline": body["vs_baseline"], "evidence": path, "entry": entry.seq, "hash": entry.hash,
        "next": f"kernel-lab promote {candidate.id[:12]}" if verdict == "pass" else f"kernel-lab record {candidate.id[:12]} --lesson '…'",
    }  # fmt: skip
    return dict(_finite(answer))


def _finite(value: Any) -> Any:
    """The same document with what JSON has no word for as text."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def score(workspace: Workspace, candidate: Solution, progress: Progress | None = None) -> dict[str, Any]:
    """Time every workload of the contract. Finished workloads of an interrupted run are taken from the ledger."""
    tell = progress or _silent
    contract, entries = workspace.checked()
    backend = backend_for(contract)
    backend.require()
    incumbent_id = views.State.of(entries, contract.sha256).incumbent
    incumbent = workspace.resolve(incumbent_id) if incumbent_id else None
    done = _partial(entries, candidate, contract)

    def keep(row: dict[str, Any]) -> None:
        if row["status"] == "PASSED":
            body = {"candidate": candidate.id, "contract": contract.sha256, "judge": environment.judge_digest(), "row": _finite(row)}
            workspace.ledger.append("partial", body)

    left = [uuid for uuid in contract.lock["workloads"]["uuids"] if uuid not in done]
    ran = backend.score(candidate, incumbent, tell, left, keep) if left else None
    rows = [*done.values(), *(ran.rows if ran else [])]
    problems = [gate.data() for gate in (ran.gates if ran else []) if gate.outcome == "fail"]
    document = {"candidate": candidate.id, "contract": contract.sha256, "workloads": rows, "problems": problems, **_versions(contract)}
    path, digest = workspace.keep_run("score", _finite(document))
    slim = [_slim(row) for row in rows]
    timer = (ran.extra.get("timer") if ran else None) or contract.lock["timer"]
    body = {
        "candidate": candidate.id,
        "name": candidate.name,
        "contract": contract.sha256,
        "timer": timer,
        "rows": slim,
        "resumed": len(done),
        "evidence": path,
        "evidence_sha256": digest,
    }
    workspace.ledger.append("score", _finite(body))
    views.write_views(workspace)
    complete = len(rows) == len(contract.lock["workloads"]["uuids"]) and all(row["status"] == "PASSED" for row in rows)
    return {
        "candidate": candidate.id, "name": candidate.name, "workloads": slim, "timer": timer, "runs": sum(row["runs"] for row in slim), "complete": complete,  # noqa: E501
        "vs_baseline": _means(rows, "vs_baseline"), "mean_latency_ms": round(sum(row["latency_ms"] for row in slim) / len(slim), 6) if complete else None,  # noqa: E501
        "resumed": len(done), "problems": problems, "evidence": path,
    }  # fmt: skip


def _partial(entries: list[Entry], candidate: Solution, contract: Contract) -> dict[str, dict[str, Any]]:
    """Workloads that an interrupted score of the same bytes, contract and judge has finished."""
    found: dict[str, dict[str, Any]] = {}
    judge = environment.judge_digest()
    for entry in entries:
        if entry.kind == "score" and entry.body["candidate"] == candidate.id:
            found.clear()
        elif entry.kind == "partial" and (entry.body["candidate"], entry.body["contract"], entry.body["judge"]) == (
            candidate.id,
            contract.sha256,
            judge,
        ):
            found[str(entry.body["row"]["uuid"])] = entry.body["row"]
    return found

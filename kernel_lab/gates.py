"""Gates: turns evidence into named answers, and the answers into a verdict: pass, fail or review."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernel_lab.contract import Contract
from kernel_lab.physics import floor_ms
from kernel_lab.scan import Mark
from kernel_lab.solution import Solution

if TYPE_CHECKING:
    from kernel_lab.evidence import Evidence

ORDER = (
    "contract", "coverage", "static-scan", "compile", "run", "official", "fresh-inputs", "poisoned-outputs", "aliasing", "mutation",
    "finite-reference", "trivial-outputs", "precision", "baseline", "timer", "physics-floor", "kernel-policy", "determinism", "value-cache",
    "sandbox", "sanitizer", "significance", "hidden-workloads",
)  # fmt: skip

# Gates that a busy or broken machine can fail as well as a candidate can.
TIMED = ("coverage", "run", "baseline", "timer", "physics-floor", "value-cache", "significance", "sanitizer")


@dataclass(frozen=True)
class Gate:
    """One answer. `outcome` is pass, fail, review or skip; `detail` one sentence; `evidence` what it rests on."""

    name: str
    outcome: str
    detail: str
    evidence: list[Any] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ok": self.outcome in ("pass", "skip"),
            "outcome": self.outcome,
            "detail": self.detail,
            "evidence": self.evidence,
        }


def verdict_of(gates: list[Gate]) -> str:
    outcomes = {gate.outcome for gate in gates}
    return "fail" if "fail" in outcomes else "review" if "review" in outcomes else "pass"


def ordered(gates: list[Gate]) -> list[Gate]:
    return sorted(gates, key=lambda gate: ORDER.index(gate.name))


def scan_gate(marks: list[Mark]) -> Gate:
    shown = [mark.data() for mark in marks if mark.tier != "library"][:20]
    hard = [mark for mark in marks if mark.tier == "hard"]
    soft = [mark for mark in marks if mark.tier == "review"]
    if hard:
        return Gate("static-scan", "fail", f"{_place(hard[0])}: {hard[0].what}: {hard[0].why} ({len(hard)} such places)", shown)
    if soft:
        return Gate(
            "static-scan",
            "review",
            f"a person must look at {len(soft)} places, first {_place(soft[0])}: {soft[0].what}: {soft[0].why}",
            shown,
        )
    return Gate("static-scan", "pass", "nothing that a kernel has no honest use for")


def _place(mark: Mark) -> str:
    return f"{mark.path}:{mark.line}"


def policy_gate(marks: list[Mark], solution: Solution, contract: Contract, kernels: list[dict[str, Any]]) -> Gate:
    """Library calls: free under `production`; under `leaderboard` a fail for kernels, a review for plain Python, which has nothing else."""
    found = [mark for mark in marks if mark.tier == "library"]
    names = sorted({row["name"] for item in kernels for row in item["kernels"] if _is_library(row["name"])})
    if contract.policy == "production":
        return Gate("kernel-policy", "pass", f"production: library calls are allowed ({len(found)} in the sources)")
    if names:
        return Gate("kernel-policy", "fail", f"leaderboard: library kernels ran: {', '.join(names[:3])}", names[:20])
    if kernels and not any(item["kernels"] for item in kernels) and solution.language in ("cuda", "triton"):
        return Gate("kernel-policy", "review", "the profiler saw no kernel of the candidate", [])
    if not found:
        return Gate("kernel-policy", "pass", "leaderboard: no library call that does the operation", [])
    outcome = "fail" if solution.language in ("cuda", "triton", "cpp") else "review"
    return Gate(
        "kernel-policy", outcome, f"leaderboard: {_place(found[0])}: {found[0].what}: {found[0].why}", [mark.data() for mark in found][:10]
    )


def _is_library(name: str) -> bool:
    words = (
        "cublas",
        "cudnn",
        "cutlass::Kernel",
        "nvjet",
        "gemm_bf16",
        "sm90_xmma",
        "sm80_xmma",
        "at::native",
        "flashinfer::",
        "ampere_",
        "hopper_",
        "_gemm_",
    )
    return any(word in name for word in words) and "FillFunctor" not in name and "memset" not in name.lower()


def judged_gates(evidence: Evidence, contract: Contract, candidate: Solution) -> Iterator[Gate]:
    """The gates that rest on running the candidate."""
    loaded = bool(evidence.workloads or any(finding.gate not in ("run", "baseline") for finding in evidence.findings))
    clean = {
        "run": "the candidate ran to the end of every workload", "fresh-inputs": f"{evidence.calls} calls on changed inputs, every one checked",  # noqa: E501
        "poisoned-outputs": "every element was written in every call", "aliasing": "outputs are plain tensors with memory of their own",
        "mutation": "inputs were left as they were", "finite-reference": "the reference is finite", "precision": "errors are those of the declared types",  # noqa: E501
        "baseline": "the baseline is right under its own contract", "value-cache": "seen inputs take as long as new ones",
    }  # fmt: skip
    for name, text in clean.items():
        found = [finding for finding in evidence.findings if finding.gate == name]
        if found:
            tier = "fail" if any(finding.tier == "fail" for finding in found) else "review"
            if name in ("finite-reference", "baseline"):
                tier = "fail" if name == "finite-reference" else "review"
            where = f"workload {found[0].workload}: " if found[0].workload else ""
            yield Gate(name, tier, where + found[0].detail, [finding.data() for finding in found])
        elif name != "run" and not loaded:
            yield Gate(name, "skip", "not reached: the candidate did not run")
        else:
            yield Gate(name, "pass", text)
    yield _coverage(evidence, contract)
    yield _official(evidence, contract)
    yield _trivial(evidence)
    yield _floor(evidence, contract)
    yield _determinism(evidence)
    yield _sandbox(evidence, contract)
    yield _significance(evidence)
    yield _hidden(evidence, contract)


def _coverage(evidence: Evidence, contract: Contract) -> Gate:
    done = {row["uuid"] for row in evidence.workloads}
    missing = [uuid for uuid in contract.lock["workloads"]["uuids"] if uuid not in done]
    if missing:
        return Gate(
            "coverage", "fail", f"{len(missing)} of {len(missing) + len(done)} workloads have no result: {', '.join(missing[:5])}", missing
        )
    return Gate("coverage", "pass", f"all {len(done)} workloads ran; the score is the median of all runs of each")


def _official(evidence: Evidence, contract: Contract) -> Gate:
    said = {row["uuid"]: row.get("official", "not run") for row in evidence.workloads}
    wrong = {uuid: status for uuid, status in said.items() if status not in ("PASSED", "not run")}
    version = contract.lock["flashinfer_bench"]["version"]
    if wrong:
        uuid, status = next(iter(wrong.items()))
        return Gate("official", "fail", f"flashinfer-bench {version} says {status} on workload {uuid}", [said])
    if not said or "not run" in said.values():
        failed = any(row["wrong_calls"] for row in evidence.workloads)
        return Gate(
            "official", "skip" if failed or not said else "review", f"flashinfer-bench {version} did not judge every workload", [said]
        )
    return Gate("official", "pass", f"flashinfer-bench {version} says PASSED on all {len(said)} workloads", [])


def _trivial(evidence: Evidence) -> Gate:
    found = [row for row in evidence.trivial if row["passing"]]
    if found:
        what = ", ".join(found[0]["passing"])
        return Gate(
            "trivial-outputs",
            "review",
            f"workload {found[0]['workload']} does not tell work from none: {what} would pass; tighten the tolerances",
            found,
        )
    return Gate("trivial-outputs", "pass", "zeros, ones, means and inputs all fail, so that a pass says something")


def _floor(evidence: Evidence, contract: Contract) -> Gate:
    low, rows = [], []
    for workload in contract.workloads:
        row = next((item for item in evidence.workloads if item["uuid"] == workload.uuid), None)
        if row is None:
            continue
        floor = floor_ms(contract.definition, workload, contract.arch, str(contract.lock["flops"]))
        rows.append({"workload": workload.uuid, "latency_ms": row["latency_ms"], **{key: round(value, 6) for key, value in floor.items()}})
        if row["latency_ms"] < floor["floor_ms"]:
            low.append(rows[-1])
    if low:
        return Gate(
            "physics-floor",
            "fail",
            f"workload {low[0]['workload']}: {low[0]['latency_ms']} ms is less than the chip needs ({low[0]['floor_ms']} ms)",
            low,
        )
    return Gate("physics-floor", "pass", "no time is shorter than the chip can do", rows[:5])


def _determinism(evidence: Evidence) -> Gate:
    moving = [row["uuid"] for row in evidence.workloads if not row["bitwise_repeatable"]]
    if moving:
        return Gate("determinism", "pass", f"the same inputs give other bits on {len(moving)} workloads, within the tolerances", moving)
    return Gate("determinism", "pass", "the same inputs give the same bits")


def _sandbox(evidence: Evidence, contract: Contract) -> Gate:
    found = [finding for finding in evidence.findings if finding.gate == "sandbox"]
    level = str(evidence.sandbox.get("level", "none"))
    if found:
        return Gate("sandbox", "fail", found[0].detail, [finding.data() for finding in found])
    if not evidence.sandbox:
        return Gate("sandbox", "skip", "the candidate's process did not start")
    if contract.arch != "cpu":
        return Gate("sandbox", "pass", f"{level}; a GPU process keeps its devices, so this is weaker than on a CPU", [evidence.sandbox])
    if level == "none":
        return Gate(
            "sandbox", "review", "no namespaces and no other user here: the candidate could reach the judge's process", [evidence.sandbox]
        )
    return Gate("sandbox", "pass", f"{level}; system-call filter {'on' if evidence.sandbox.get('filter') else 'off'}", [evidence.sandbox])


def _significance(evidence: Evidence) -> Gate:
    rows = [{"workload": row["uuid"], **row["vs_baseline"], "noise": row["noise"]} for row in evidence.workloads if "vs_baseline" in row]
    if not rows:
        return Gate("significance", "skip", "nothing was timed")
    faster = sum(row["verdict"] == "faster" for row in rows)
    slower = sum(row["verdict"] == "slower" for row in rows)
    worst = max(row["noise"] for row in rows)
    return Gate(
        "significance",
        "pass",
        f"against the baseline: faster on {faster}, slower on {slower}, within noise on {len(rows) - faster - slower}; noise up to {worst:.0%}",  # noqa: E501
        rows,
    )


def _hidden(evidence: Evidence, contract: Contract) -> Gate:
    found = [finding.data() for finding in evidence.findings if finding.gate == "hidden-workloads"]
    if found:
        return Gate("hidden-workloads", "fail", f"{found[0].get('workload', '')}: {found[0]['detail']}", [*found, *evidence.hidden][:20])
    if not evidence.hidden:
        why = "no axis can vary, or every workload is recorded" if evidence.workloads else "not reached"
        return Gate("hidden-workloads", "skip", f"{why}; seeds are drawn anew at each verify", [])
    axes = [row["axes"] for row in evidence.hidden]
    return Gate("hidden-workloads", "pass", f"right on {len(axes)} workloads that were drawn for this verify", axes)

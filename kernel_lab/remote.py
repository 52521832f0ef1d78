"""Remote backends: a flashinfer-bench server (`http`) or any command (`command`: Modal, ssh, a queue) that brings traces back.

Inputs, outputs and clocks are then not ours to check, so a remote run alone never gives more than a review.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from kernel_lab.backends import Keep, Progress, Ran
from kernel_lab.contract import Contract
from kernel_lab.errors import BadInput, MissingBackend, Unreadable
from kernel_lab.files import canonical, read_json
from kernel_lab.gates import Gate
from kernel_lab.solution import Solution
from kernel_lab.timing import paired_ratio

ORDER = ("baseline", "candidate", "candidate", "baseline")
MAX_ANSWER = 64 << 20
LIMITS = "flashinfer-bench judged alone: fresh inputs, poison, mutation, hidden workloads and clocks were out of reach"


class Remote:
    """The http and command backends."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.settings: dict[str, Any] = contract.lock["backend"]

    def require(self) -> None:
        if self.contract.backend == "command":
            argv = self.settings.get("argv")
            if not (
                isinstance(argv, list)
                and argv
                and any("{job}" in str(item) for item in argv)
                and any("{result}" in str(item) for item in argv)
            ):
                raise BadInput('task.toml: [backend] argv must be a list of words with "{job}" and "{result}" among them')
            return
        if not str(self.settings.get("url", "")).startswith(("http://", "https://")):
            raise BadInput('task.toml: [backend] url must be the address of a flashinfer-bench server, such as "http://gpu-box:8000"')
        self._same_contract()

    def judge(self, candidate: Solution, incumbent: Solution | None, progress: Progress) -> Ran:
        ran = self.score(candidate, incumbent, progress, list(self.contract.lock["workloads"]["uuids"]), lambda row: None)
        wrong = [row for row in ran.rows if row["status"] != "PASSED"]
        missing = [uuid for uuid in self.contract.lock["workloads"]["uuids"] if uuid not in {row["uuid"] for row in ran.rows}]
        ran.gates.append(
            Gate(
                "coverage",
                "fail" if missing else "pass",
                f"{len(missing)} workloads have no trace" if missing else f"all {len(ran.rows)} workloads have traces",
                missing,
            )
        )
        said = f"{wrong[0]['uuid']}: {wrong[0]['status']}" if wrong else f"PASSED on all {len(ran.rows)} workloads"
        ran.gates.append(Gate("official", "fail" if wrong else "pass", f"flashinfer-bench at the backend says {said}"))
        ran.gates.append(Gate("run", "review", LIMITS))
        return ran

    def score(self, candidate: Solution, incumbent: Solution | None, progress: Progress, only: list[str], keep: Keep) -> Ran:
        """Baseline, candidate, candidate, baseline: one submission each."""
        solutions = {"candidate": candidate, "baseline": self.contract.baseline}
        traces: dict[str, list[list[dict[str, Any]]]] = {"candidate": [], "baseline": []}
        submit = self._by_http if self.contract.backend == "http" else self._by_command
        for index, role in enumerate(ORDER):
            progress(f"remote {role}", index, len(ORDER))
            traces[role].append(submit(solutions[role], only))
        progress("remote", len(ORDER), len(ORDER))
        rows = [row for row in (self._row(uuid, traces) for uuid in only) if row is not None]
        for row in rows:
            keep(row)
        return Ran(
            [],
            rows,
            {"timer": f"flashinfer-bench at the {self.contract.backend} backend; it does not say which", "traces": traces["candidate"]},
        )

    def _row(self, uuid: str, traces: dict[str, list[list[dict[str, Any]]]]) -> dict[str, Any] | None:
        found = {role: [trace for run in runs for trace in run if trace["workload"]["uuid"] == uuid] for role, runs in traces.items()}
        if len(found["candidate"]) < len(traces["candidate"]):
            return None
        statuses = [str(trace["evaluation"]["status"]) for trace in found["candidate"]]
        status = next((item for item in statuses if item != "PASSED"), "PASSED")
        row: dict[str, Any] = {"uuid": uuid, "status": status, "axes": found["candidate"][0]["workload"]["axes"]}
        if status != "PASSED":
            return row
        mine, base = (
            [float(trace["evaluation"]["performance"]["latency_ms"]) for trace in found[role] if trace["evaluation"].get("performance")]
            for role in ("candidate", "baseline")
        )
        reference = float(found["candidate"][0]["evaluation"]["performance"]["reference_latency_ms"])
        row.update(
            candidate_runs_ms=mine,
            baseline_runs_ms=base,
            latency_ms=statistics.median(mine),
            reference_ms=reference,
            vs_reference=round(reference / statistics.median(mine), 4),
            noise=0.0,
        )
        if base:
            row.update(baseline_ms=statistics.median(base), vs_baseline=paired_ratio(base, mine).data())
        return row

    def _by_command(self, solution: Solution, only: list[str]) -> list[dict[str, Any]]:
        """Run the contract's command with a job file; it leaves {"traces": […]} in the result file."""
        with tempfile.TemporaryDirectory(prefix="kernel-lab-") as name:
            job, result = Path(name) / "job.json", Path(name) / "result.json"
            job.write_bytes(canonical({
                "schema_version": 1, "solution": solution.document, "definition": read_json(self.contract.folder / "definition.json"),
                "workloads": [item.raw for item in self.contract.workloads if item.uuid in only], "evaluation": self.contract.evaluation, "arch": self.contract.arch,  # noqa: E501
            }))  # fmt: skip
            argv = [str(item).replace("{job}", str(job)).replace("{result}", str(result)) for item in self.settings["argv"]]
            limit = float(self.contract.evaluation["timeout_s"]) * max(1, len(only))
            try:
                done = subprocess.run(argv, capture_output=True, check=False, timeout=limit, stdin=subprocess.DEVNULL)
            except FileNotFoundError as error:
                raise MissingBackend(f"the backend's command is not here: {error}") from error
            except subprocess.TimeoutExpired:
                raise MissingBackend(f"the backend's command took longer than {limit:.0f} s") from None
            if done.returncode or not result.is_file():
                raise MissingBackend(
                    f"the backend's command ended with status {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-600:]}"
                )
            return _traces(read_json(result), str(result))

    def _by_http(self, solution: Solution, only: list[str]) -> list[dict[str, Any]]:
        task = self._ask("POST", "/evaluate", {"solution": solution.document, "workload_uuids": only})["task_id"]
        give_up = time.monotonic() + float(self.contract.evaluation["timeout_s"]) * max(1, len(only))
        while time.monotonic() < give_up:
            found = self._ask("POST", "/tasks/batch", {"task_ids": [task], "timeout": 20})[0]
            if found.get("traces") is not None:
                return _traces(found, "the server's answer")
            if found.get("error") or found.get("status") in ("failed", "error"):
                raise Unreadable(f"the server could not run {solution.name}: {found.get('error')}")
        raise MissingBackend("the server did not finish in time; raise evaluation.timeout_s in task.toml, or look at its queue")

    def _same_contract(self) -> None:
        """The server must hold the contract's own definition and workloads."""
        from kernel_lab.dataset import parse_definition, parse_workload

        name = self.contract.definition.name
        theirs = parse_definition(self._ask("GET", f"/definitions/{name}"), "the server's definition")
        if theirs != self.contract.definition:
            raise BadInput(f"the server's definition of {name} is another one than the contract's: give it the contract's dataset")
        served = {
            str(row.get("uuid")): parse_workload(row, theirs, "the server's workload")
            for row in self._ask("GET", f"/definitions/{name}/workloads")
        }
        other = [item.uuid for item in self.contract.workloads if item.uuid not in served or served[item.uuid].axes != item.axes]
        if other:
            raise BadInput(f"the server lacks or differs in workloads {', '.join(other[:5])}: give it the contract's dataset")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        url = str(self.settings["url"]).rstrip("/") + path
        request = urllib.request.Request(
            url, canonical(body) if body is not None else None, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read(MAX_ANSWER))
        except urllib.error.HTTPError as error:
            raise Unreadable(f"{url} answered {error.code}: {error.read(500).decode('utf-8', 'replace')}") from error
        except (urllib.error.URLError, OSError) as error:
            raise MissingBackend(
                f"{url} does not answer ({error}); start `flashinfer-bench serve` there, or let a person change [backend] url"
            ) from error
        except ValueError as error:
            raise Unreadable(f"{url} did not answer with JSON: {error}") from error


def _traces(data: Any, where: str) -> list[dict[str, Any]]:
    found = data.get("traces") if isinstance(data, dict) else None
    try:
        for trace in found or []:
            _ = trace["workload"]["uuid"], trace["workload"]["axes"], trace["evaluation"]["status"]
    except (KeyError, TypeError) as error:
        raise Unreadable(f"{where}: a trace lacks {error}") from error
    if not isinstance(found, list):
        raise Unreadable(f'{where} holds no list "traces"')
    return found

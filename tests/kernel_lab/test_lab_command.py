"""The command and the facade: what people and the MCP server call; exit codes, one JSON document, nothing heavy on --help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from lab_parts import HAS_TORCH, document, make_lab, needs_torch, small_dataset, write_json

from kernel_lab import Lab
from kernel_lab.errors import BadInput, LabError, MissingBackend

PLAIN = "import torch\n\ndef run(hidden, weight, out):\n    out.copy_(hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6) * weight)\n"  # noqa: E501


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from kernel_lab.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, encoding="utf-8", check=False, env={**os.environ, **environment}
    )


def candidate_file(folder: Path, source: str = PLAIN, name: str = "plain") -> str:
    return str(write_json(folder / f"{name}.json", document(name, "rmsnorm_h1024", source)))


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    return make_lab(tmp_path)


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from kernel_lab.cli import main; main()", "verify", "--help"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 0 and "click" in loaded
    assert loaded.isdisjoint({"torch", "flashinfer_bench", "numpy", "yaml", "pydantic", "platformdirs"})


def test_no_verb_takes_a_tolerance_a_baseline_or_a_timer() -> None:
    from kernel_lab.cli import cli

    for name, verb in cli.commands.items():
        options = {option for parameter in verb.params for option in parameter.opts}
        assert name == "init" or options.isdisjoint({"--rtol", "--atol", "--baseline", "--timer", "--workloads", "--tolerance"})
    assert "--rtol" not in {option for parameter in cli.commands["init"].params for option in parameter.opts}


def test_the_verbs_give_one_json_document_and_the_right_exit_codes(tmp_path: Path) -> None:
    data, name, baseline = small_dataset(tmp_path / "data", "rmsnorm")
    folder = str(tmp_path / "work")
    made = command("init", folder, "--dataset", str(data), "--definition", name, "--baseline", str(baseline), "--arch", "cpu", "--json")
    assert made.returncode == 0 and json.loads(made.stdout)["schema_version"] == 1
    path = candidate_file(tmp_path)
    for words, code in (
        (("status",), 0), (("compile", path), 0), (("log",), 0), (("log", "--failed"), 0), (("audit",), 0), (("record", path, "--lesson", "try tiles"), 0),  # noqa: E501
        (("promote", path), 1), (("compile", "ffffffffffff"), 3), (("compile", "zz"), 2), (("nothing",), 2),
    ):  # fmt: skip
        done = command("-C", folder, *words, *(["--json"] if words[0] != "nothing" else []))
        assert done.returncode == code, (words, done.stderr)
        if code == 0:
            assert json.loads(done.stdout)["schema_version"] == 1
        else:
            assert not done.stdout
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    assert command("-C", folder, "compile", str(tmp_path / "bad.json")).returncode == 4
    assert command("-C", str(tmp_path), "status").returncode == 3
    (tmp_path / "work" / "contract" / "baseline.json").write_text("{}", encoding="utf-8")
    broken = command("-C", folder, "verify", path)
    assert broken.returncode == 3 and "baseline" in broken.stderr
    assert command("-C", folder, "audit", "--json").returncode == 3


def test_a_missing_backend_is_exit_5(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, arch="sm_90a")
    with pytest.raises(MissingBackend, match="CUDA device" if HAS_TORCH else "torch") as caught:
        lab.verify(candidate_file(tmp_path))
    assert caught.value.exit_code == 5


def test_a_candidate_for_another_definition_is_refused(lab: Any, tmp_path: Path) -> None:
    path = write_json(tmp_path / "o.json", document("o", "other", "def run(x, out): pass\n"))
    with pytest.raises(BadInput, match="this workspace is for 'rmsnorm_h1024'"):
        lab.compile(str(path))


def test_lineage_lessons_and_views(lab: Any, tmp_path: Path) -> None:
    first = lab.record(candidate_file(tmp_path), note="first | try", lesson="`row` blocks <b>help</b>")["candidate"]
    second = lab.record(candidate_file(tmp_path, PLAIN + "\n# two\n", "two"), parent=first)["candidate"]
    rows = {row["candidate"]: row for row in lab.log()["candidates"]}
    assert rows[second]["parents"] == [first]
    assert [row["candidate"] for row in lab.log(failed=True)["candidates"]] == [first]
    lines = (lab.workspace.root / "candidates.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["candidate"] for line in lines] == [first, second]
    lineage = (lab.workspace.root / "docs" / "lineage.md").read_text(encoding="utf-8")
    assert "<b>" not in lineage and "`row`" not in lineage and first[:12] in lineage
    with pytest.raises(BadInput, match="its own parent"):
        lab.record(first, parent=first)


def test_doctor_names_what_is_missing() -> None:
    found = Lab.doctor()
    names = {item["name"]: item for item in found["checks"]}
    assert names["torch"]["ok"] is HAS_TORCH and found["ok"] is HAS_TORCH
    assert "sandbox" in names and names["state"]["ok"]


@needs_torch
def test_the_whole_loop_from_init_to_promote(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, rounds=8)
    path = candidate_file(tmp_path)
    steps: list[tuple[str, int, int]] = []
    found = lab.verify(path, lambda *step: steps.append(step))
    assert found["verdict"] == "pass", [gate for gate in found["gates"] if not gate["ok"]]
    assert steps[-1][1] == steps[-1][2] and any(step[0] == "hidden workload" for step in steps)
    assert lab.status()["next"] == f"kernel-lab promote {found['candidate'][:12]}"
    try:
        promoted = lab.promote(found["candidate"])
        assert lab.status()["incumbent"] == promoted["candidate"]
    except LabError as refused:  # a busy machine may hide the gain: then the refusal has to say so
        assert "slower than the baseline" in str(refused)
    assert lab.audit()["ok"]
    assert (lab.workspace.root / "benchmark.csv").read_text(encoding="utf-8").count("verdict") == 1


@needs_torch
def test_a_score_names_both_ratios_counts_all_runs_and_resumes(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    path = candidate_file(tmp_path)
    first = lab.score(path)
    row = first["workloads"][0]
    assert first["complete"] and row["status"] == "PASSED" and row["runs"] >= 6
    assert row["vs_baseline"] > 0 and row["vs_reference"] > 0 and "wall clock" in first["timer"]
    body = next(entry for entry in lab.workspace.ledger.entries() if entry.kind == "partial").body
    lab.workspace.ledger.append("partial", body)
    again = lab.score(path)
    assert again["resumed"] == 1 and again["workloads"][0]["latency_ms"] == row["latency_ms"]


@needs_torch
def test_the_reference_and_the_verdict_are_not_in_the_candidates_process(tmp_path: Path) -> None:
    """The candidate looks for anything of the judge: its memory, its files, the network, the workspace."""
    lab = make_lab(tmp_path)
    source = f"""import os
import socket
import sys
import torch

def run(hidden, weight, out):
    seen = []
    for path in {[str(lab.workspace.root), str(lab.workspace.contract.dataset)]!r}:
        seen += os.listdir(path) if os.path.isdir(path) else []
    for action in (lambda: socket.socket(), lambda: os.fork(), lambda: open("/proc/1/root" + {str(lab.workspace.root)!r} + "/task.toml"), lambda: open("/etc/owned", "w")):
        try:
            action()
            seen.append("reached")
        except OSError:
            pass
    seen += [name for name in sys.modules if name.startswith(("kernel_lab", "flashinfer"))]
    seen += [name for name in os.environ if name.startswith(("KERNEL", "FIB", "PYTEST"))]
    seen += [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 1]
    if seen:
        raise ValueError("reached " + repr(seen))
    out.copy_(hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6) * weight)
"""  # noqa: E501
    found = lab.verify(candidate_file(tmp_path, source))
    gates = {gate["name"]: gate for gate in found["gates"]}
    if "namespaces" in gates["sandbox"]["detail"] and "filter on" in gates["sandbox"]["detail"]:
        assert gates["run"]["ok"], gates["run"]["detail"]
    assert found["verdict"] == "fail" and not gates["static-scan"]["ok"]


@needs_torch
def test_a_reference_that_gives_nan_judges_nothing(tmp_path: Path) -> None:
    data, name, baseline = small_dataset(tmp_path / "data", "rmsnorm")
    path = data / "definitions" / "op" / f"{name}.json"
    path.write_text(path.read_text(encoding="utf-8").replace("return (wide", "return float('nan') * (wide"), encoding="utf-8")
    lab = Lab.init(tmp_path / "work", data, name, baseline, "cpu")
    found = lab.verify(candidate_file(tmp_path))
    assert found["verdict"] == "fail" and "finite-reference" in [gate["name"] for gate in found["gates"] if not gate["ok"]]


@needs_torch
def test_a_workload_that_zeros_pass_is_called_out(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, "loose", norm_limit=2.0)
    found = lab.verify(candidate_file(tmp_path, PLAIN.replace("* weight)", "* weight * 0.0005)")))
    gates = {gate["name"]: gate for gate in found["gates"]}
    assert found["verdict"] == "review" and "zeros" in gates["trivial-outputs"]["detail"]


class Server(BaseHTTPRequestHandler):
    """Stands in for `flashinfer-bench serve`, which needs a GPU: same routes, invented times."""

    lab: Any
    status = "PASSED"

    def do_GET(self) -> None:
        contract = self.lab.workspace.contract
        definition = json.loads((contract.folder / "definition.json").read_text(encoding="utf-8"))
        self._answer([item.raw["workload"] for item in contract.workloads] if self.path.endswith("workloads") else definition)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/evaluate":
            type(self).last = (body["solution"]["name"], body["workload_uuids"])
            self._answer({"task_id": body["solution"]["name"], "normalized_solution_name": "x"})
            return
        latency = 1.0 if body["task_ids"] == ["plain"] else 2.0
        performance = {"latency_ms": latency, "reference_latency_ms": 4.0, "speedup_factor": 4.0 / latency}
        evaluation = {"status": self.status, "performance": performance if self.status == "PASSED" else None}
        traces = [{"workload": item.raw["workload"], "evaluation": evaluation} for item in self.lab.workspace.contract.workloads]
        self._answer([{"task_id": "t", "status": "completed", "traces": traces}])

    def _answer(self, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """No lines on stderr."""


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Any]:
    lab = make_lab(tmp_path, arch="sm_100a")
    handler = type("Handler", (Server,), {"lab": lab})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    set_backend(lab, f'kind = "http"\nurl = "http://127.0.0.1:{server.server_port}"')
    yield lab, handler
    server.shutdown()
    server.server_close()


def set_backend(lab: Any, text: str) -> None:
    task = lab.workspace.root / "task.toml"
    lines = task.read_text(encoding="utf-8").splitlines()
    at = lines.index("[backend]")
    task.write_text("\n".join([*lines[: at + 1], text, *lines[at + 2 :]]), encoding="utf-8")
    lab.freeze()


def test_a_server_scores_and_its_word_alone_is_never_a_pass(remote: Any, tmp_path: Path) -> None:
    lab, handler = remote
    scored = lab.score(candidate_file(tmp_path))
    row = scored["workloads"][0]
    assert (row["latency_ms"], row["baseline_ms"], row["vs_baseline"], row["vs_reference"]) == (1.0, 2.0, 2.0, 4.0)
    found = lab.verify(candidate_file(tmp_path))
    assert found["verdict"] == "review"
    assert {gate["name"] for gate in found["gates"] if gate["outcome"] == "review"} == {"run"}
    handler.status = "INCORRECT_NUMERICAL"
    assert lab.verify(candidate_file(tmp_path))["verdict"] == "fail"


def test_a_server_with_another_definition_is_refused(remote: Any, tmp_path: Path) -> None:
    lab, handler = remote
    handler.do_GET = lambda self: self._answer(
        {**json.loads((lab.workspace.contract.folder / "definition.json").read_text(encoding="utf-8")), "op_type": "other"}
    )
    with pytest.raises(BadInput, match="another one than the contract's"):
        lab.verify(candidate_file(tmp_path))


def test_a_server_that_is_not_there_is_exit_5(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, arch="sm_100a")
    set_backend(lab, 'kind = "http"\nurl = "http://127.0.0.1:9"')
    with pytest.raises(MissingBackend, match="does not answer"):
        lab.score(candidate_file(tmp_path))


def test_any_command_can_be_the_backend(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, arch="sm_100a")
    runner = tmp_path / "runner.py"
    runner.write_text(
        "import json, sys\njob = json.load(open(sys.argv[1]))\nms = 1.0 if job['solution']['name'] == 'plain' else 3.0\n"
        "traces = [{'workload': row['workload'], 'evaluation': {'status': 'PASSED', 'performance': {'latency_ms': ms, 'reference_latency_ms': 6.0}}} for row in job['workloads']]\n"  # noqa: E501
        "json.dump({'traces': traces}, open(sys.argv[2], 'w'))\n",
        encoding="utf-8",
    )
    set_backend(lab, f'kind = "command"\nargv = [{json.dumps(sys.executable)}, {json.dumps(str(runner))}, "{{job}}", "{{result}}"]')
    assert lab.score(candidate_file(tmp_path))["workloads"][0]["vs_baseline"] == 3.0
    runner.write_text("import sys; sys.exit('no GPU left')", encoding="utf-8")
    with pytest.raises(MissingBackend, match="no GPU left"):
        lab.verify(candidate_file(tmp_path, PLAIN + "# two\n"))

"""What the lab costs on a CPU: compiling, a verdict, a ledger of 10,000 entries: `python benchmarks/lab/costs.py [--write]`.

Prints wall and processor seconds (the latter with all child processes): on a machine that others use only the second says something.
`import triton` is measured beside the compiles, as a yardstick of the machine.
--write keeps the figures in costs.json and in the README's table.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kernel_lab import Lab
from kernel_lab.build import build
from kernel_lab.dataset import Dataset, parse_definition, parse_workload, read_jsonl
from kernel_lab.files import canonical, read_json, sha256
from kernel_lab.ledger import START
from kernel_lab.solution import pack, solution_of

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "lab"
COMPILED = {"rmsnorm_triton": "rmsnorm", "topk_triton": "softmax_topk", "gemm_triton": "gemm", "rmsnorm_cuda": "rmsnorm"}
REPEATS = 3


def _spent() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measured(what: str, work: Callable[[], Any], limit_s: float | None = None, repeats: int = REPEATS) -> dict[str, Any]:
    """The least of several runs: wall and processor seconds."""
    runs = []
    for _ in range(repeats):
        begin, before = time.perf_counter(), _spent()
        work()
        runs.append((time.perf_counter() - begin, _spent() - before))
    row = {
        "what": what,
        "wall_s": round(min(run[0] for run in runs), 2),
        "cpu_s": round(min(run[1] for run in runs), 2),
        "limit_s": limit_s,
    }
    print(f"{row['what']:44s} wall {row['wall_s']:6.2f} s   cpu {row['cpu_s']:6.2f} s   limit {limit_s or '-'}", flush=True)
    return row


def compiling() -> list[dict[str, Any]]:
    command = [sys.executable, "-I", "-B", "-c", "import triton"]
    rows = [measured("python -c 'import triton'", lambda: subprocess.run(command, check=False))]
    for name, data in COMPILED.items():
        solution, dataset = pack(EXAMPLES / "candidates" / name), Dataset(EXAMPLES / data)
        path = dataset.definition_path(solution.definition)
        definition = parse_definition(read_json(path), str(path))
        workload = parse_workload(read_jsonl(dataset.workloads_path(definition.name))[0], definition, name)
        for arch in ("sm_90a", "sm_100a"):
            work = partial(build, solution, definition, arch, None, workload)
            rows.append(measured(f"compile {name} {arch}", work, 3.0))
    return rows


def _workspace(folder: Path) -> Lab:
    return Lab.init(folder, EXAMPLES / "rmsnorm", "rmsnorm_h1024", "rmsnorm_h1024_baseline", "cpu")


def ledger(folder: Path, count: int = 10_000) -> list[dict[str, Any]]:
    """A workspace with `count` entries about a tenth as many candidates, each with a file of evidence; opened and audited."""
    lab = _workspace(folder / "long")
    path = lab.workspace.ledger.path
    first = path.read_bytes()
    previous, lines = json.loads(first)["hash"], [first]
    packed = pack(EXAMPLES / "candidates" / "rmsnorm_torch").document
    tried = [solution_of({**packed, "name": f"try_{number}"}, "benchmark") for number in range(count // 10)]
    evidence = [lab.workspace.keep_run("score", {"candidate": one.id, "verdict": "fail"}) for one in tried if lab.workspace.store(one)]
    begin = json.loads(first)["entry"]["time_s"]
    for seq in range(1, count):
        rows = [{"workload": f"w{index}", "latency_ms": 0.1 * index, "status": "PASSED"} for index in range(4)]
        one, (place, digest) = tried[seq % len(tried)], evidence[seq % len(tried)]
        body = {"candidate": one.id, "verdict": "fail", "evidence": place, "evidence_sha256": digest, "rows": rows}
        raw = canonical({"seq": seq, "kind": "score", "time_s": begin, "body": {**body, "contract": lab.workspace.contract.sha256}})
        previous = sha256(previous.encode() + raw)
        lines.append(b'{"entry":' + raw + b',"hash":"' + previous.encode() + b'"}\n')
    path.write_bytes(b"".join(lines))
    assert previous != START and lab.workspace.ledger.anchor is not None
    lab.workspace.ledger.anchor.write_bytes(canonical({"entries": count, "head": previous}))
    found: list[dict[str, Any]] = []

    def opened() -> None:
        assert Lab.open(folder / "long").status()["ledger"] == {"entries": count, "head": previous, "ok": True}

    def audited() -> None:
        answer = Lab.open(folder / "long").audit()
        assert answer["ok"] and answer["entries"] == count, answer["broken"]

    found.append(measured(f"open and status, {count} entries", opened, 2.0))
    found.append(measured(f"audit, {count} entries", audited, 2.0))
    return found


def verdict(folder: Path) -> list[dict[str, Any]]:
    """The example's candidate through every gate, by the command, as a user runs it."""
    lab = _workspace(folder / "small")
    path = folder / "solution.json"
    lab.pack(EXAMPLES / "candidates" / "rmsnorm_torch", path)
    command = [sys.executable, "-c", "from kernel_lab.cli import main; main()", "-C", str(folder / "small"), "verify", str(path), "--json"]

    def judged() -> None:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert json.loads(done.stdout)["verdict"] == "pass", done.stdout[-600:]

    return [measured("verify rmsnorm_torch, 3 + 3 workloads", judged, 30.0, repeats=2)]


def keep(rows: list[dict[str, Any]]) -> None:
    """The record and the README's table from the same rows."""
    said = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "rows": rows}
    Path(__file__).with_name("costs.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    lines = ["| what | processor s | wall s | limit, wall s |", "| --- | --- | --- | --- |"]
    lines += [f"| {row['what']} | {row['cpu_s']:.2f} | {row['wall_s']:.2f} | {row['limit_s'] or '-'} |" for row in rows]
    readme = Path(__file__).with_name("README.md")
    before, begin, rest = readme.read_text(encoding="utf-8").partition("<!-- costs.json -->\n")
    after = rest.partition("<!-- end of costs.json -->")[2]
    text = before + begin + "\n".join(lines) + "\n<!-- end of costs.json -->" + after
    readme.write_text(text, encoding="utf-8")


def main(write: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        os.environ["KERNEL_LAB_HOME"] = str(Path(name) / "home")
        rows = [*ledger(Path(name)), *compiling(), *verdict(Path(name))]
    if write:
        keep(rows)


if __name__ == "__main__":
    main("--write" in sys.argv)

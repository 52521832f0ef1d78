"""Judge honest and dishonest GPU candidates on a real device through the whole lab: `python benchmarks/lab/h200.py OUT [seconds] [names…]`.

Needs an H100 or H200, torch, Triton, flashinfer-bench and nvcc. Writes OUT/h200.json, and Nsight Compute reports where ncu is on PATH.
`... keep OUT/h200.json [NAME.json]` makes that file the record NAME.json here and writes the README's tables from it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from kernel_lab import Lab
from kernel_lab.errors import LabError
from kernel_lab.solution import pack

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "lab"
QUICK = {"warmup": 2, "rounds": 12, "official_warmup": 3, "official_iterations": 20, "official_trials": 1, "seconds_per_workload": 3.0}
MORE = {"softmax_topk": {"matched_ratio": 0.999}}  # two shares that are equal to the last bit may change places
HONEST = [("rmsnorm_triton", "rmsnorm"), ("rmsnorm_cuda", "rmsnorm"), ("topk_triton", "softmax_topk"), ("gemm_triton", "gemm")]


def workspace(folder: Path, data: str, definition: str) -> Lab:
    return Lab.init(
        folder, EXAMPLES / data, definition, f"{definition}_baseline", "sm_90a", "leaderboard", evaluation={**QUICK, **MORE.get(data, {})}
    )


def row_of(lab: Lab, name: str, kind: str, path: Path) -> dict[str, Any]:
    """One verdict, in the words of the results table."""
    begin = time.time()
    found = lab.verify(str(path))
    evidence = json.loads((lab.workspace.root / found["evidence"]).read_text(encoding="utf-8"))
    complaints = {gate["name"]: gate["detail"] for gate in found["gates"] if not gate["ok"]}
    traces = [
        {"workload": item["workload"]["uuid"], "status": item["evaluation"]["status"], **(item["evaluation"].get("performance") or {})}
        for item in evidence.get("traces", [])
    ]
    return {
        "name": name, "kind": kind, "verdict": found["verdict"], "gates": complaints, "workloads": found["workloads"], "vs_baseline": found["vs_baseline"],  # noqa: E501
        "timings": evidence.get("kernels", []), "scorer_alone": traces, "sandbox": evidence.get("sandbox"), "seconds": round(time.time() - begin, 1),  # noqa: E501
        "all_gates": {gate["name"]: [gate["outcome"], gate["detail"][:300]] for gate in found["gates"]},
    }  # fmt: skip


def jobs(folder: Path) -> list[tuple[str, str, str, str, Path]]:
    """(name, kind, dataset, definition, packed solution): one honest candidate first, then the dishonest ones."""
    found = []
    for name, data in HONEST:
        solution = pack(EXAMPLES / "candidates" / name)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(solution.document), encoding="utf-8")
        found.append((name, "honest", data, solution.definition, path))
    for entry in yaml.safe_load((ROOT / "tests/kernel_lab/corpus/gpu.yaml").read_text(encoding="utf-8")):
        language = entry.get("language", "python")
        file = "main.cu" if language == "cuda" else "main.py"
        made = {
            "name": entry["name"],
            "definition": "rmsnorm_h4096_bf16",
            "author": "tests",
            "spec": {
                "language": language,
                "target_hardware": ["cuda"],
                "entry_point": f"{file}::run",
                "destination_passing_style": not entry.get("returns", False),
            },
            "sources": [{"path": file, "content": entry["source"]}],
        }
        path = folder / f"{entry['name']}.json"
        path.write_text(json.dumps(made), encoding="utf-8")
        kind = f"honest: {entry['class']}" if entry.get("honest") else entry["class"]
        found.append((entry["name"], kind, "rmsnorm", "rmsnorm_h4096_bf16", path))
    return [found[0], *found[4:], *found[1:4]]


def profile(folder: Path, out: Path) -> list[str]:
    """Nsight Compute reports of two candidates for the same workload, for `ncu-skill diff`."""
    ncu, made = shutil.which("ncu"), []
    for name in ("rmsnorm_baseline", "rmsnorm_triton", "rmsnorm_cuda") if ncu else ():
        report = out / f"{name}.ncu-rep"
        command = [
            str(ncu),
            "--clock-control",
            "none",
            "--set",
            "full",
            "--import-source",
            "on",
            "-k",
            "regex:.*norm.*" if name != "rmsnorm_baseline" else "regex:.*",
        ]
        command += [
            "--launch-skip",
            "2" if name != "rmsnorm_baseline" else "20",
            "--launch-count",
            "1" if name != "rmsnorm_baseline" else "8",
            "-f",
            "-o",
            str(report.with_suffix("")),
        ]
        command += [sys.executable, str(Path(__file__).with_name("one_launch.py")), name]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)
        made.append(f"{name}: status {done.returncode} {done.stdout[-200:]} {done.stderr[-300:]}")
    return made


def main(out: Path, seconds: float, names: list[str]) -> None:
    folder = out / "work"
    folder.mkdir(parents=True, exist_ok=True)
    begin, rows, labs = time.time(), [], {}
    report: dict[str, Any] = {"doctor": Lab.doctor()["checks"], "rows": rows}
    for name, kind, data, definition, path in jobs(folder):
        if time.time() - begin > seconds or (names and name not in names):
            continue
        try:
            if definition not in labs:
                labs[definition] = workspace(folder / definition, data, definition)
            rows.append(row_of(labs[definition], name, kind, path))
        except LabError as error:
            rows.append({"name": name, "kind": kind, "verdict": "error", "gates": {type(error).__name__: str(error)}, "all_gates": {}})
        print(
            json.dumps({key: rows[-1].get(key) for key in ("name", "kind", "verdict", "seconds", "gates", "vs_baseline", "scorer_alone")})[
                :1500
            ],
            flush=True,
        )
        (out / "h200.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    if not names:
        report["profiles"] = profile(folder, out)
    (out / "h200.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)


FIELDS = ("name", "kind", "verdict", "gates", "vs_baseline", "workloads", "timings", "scorer_alone", "sandbox", "seconds")


def keep(found: Path, name: str = "h200.json") -> None:
    """The record and the README's tables, from one run."""
    text = re.sub(r"/[\w./-]+/(?=kernel_lab/|torch/|triton/)", "", found.read_text(encoding="utf-8"))  # no paths of that machine
    report = json.loads(text)
    rows = [{key: row.get(key) for key in FIELDS} for row in report["rows"]]
    versions = {
        item["name"]: item["detail"] for item in report.get("doctor", []) if item["name"] in ("torch", "flashinfer_bench", "triton")
    }
    day = report.get("date") or time.strftime("%Y-%m-%d", time.gmtime(found.stat().st_mtime))
    Path(__file__).with_name(name).write_text(
        json.dumps({"device": "NVIDIA H200", "date": day, "versions": versions, "rows": rows}, indent=0) + "\n", encoding="utf-8"
    )
    readme = Path(__file__).with_name("README.md")
    text = readme.read_text(encoding="utf-8")
    for kind, table in (("verdicts", verdicts(rows)), ("timings", timings(rows))):
        begin, end = f"<!-- {name}: {kind} -->\n", f"<!-- end of {name}: {kind} -->"
        if begin in text:
            head, rest = text.split(begin)
            text = head + begin + table + end + rest.split(end)[1]
    readme.write_text(text, encoding="utf-8")


def verdicts(rows: list[dict[str, Any]]) -> str:
    lines = ["| candidate | kind | verdict | gates that complain | flashinfer-bench alone |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        said = sorted({trace["status"] for trace in row["scorer_alone"] or []})
        speed = max((trace.get("speedup_factor") or 0.0 for trace in row["scorer_alone"] or []), default=0.0)
        alone = " and ".join(said) + (f", up to {speed:.3g}x" if speed else "")
        lines.append(f"| {row['name']} | {row['kind']} | {row['verdict']} | {', '.join(row['gates']) or '-'} | {alone} |")
    return "\n".join(lines) + "\n"


def timings(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| candidate | workload | event, one call after a flushed cache | event, call without a pause | wall, call without a pause "
        "| kernels (profiler) | baseline, event |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        baseline = {item["uuid"]: item["baseline_ms"] for item in row["workloads"] or []}
        for item in row["timings"] or []:
            times = [item["event_ms"] * 1e3, item["batch_event_ms"] * 1e3, item["batch_wall_ms"] * 1e3, item["kernel_us"]]
            times.append((baseline.get(item["workload"]) or 0.0) * 1e3)
            lines.append(f"| {row['name']} | {item['workload']} | {' | '.join(f'{value:.1f}' for value in times)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__" and sys.argv[1] == "keep":
    keep(Path(sys.argv[2]), *sys.argv[3:4])
elif __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 400.0, sys.argv[3:])

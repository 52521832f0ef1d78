"""Judge honest and dishonest GPU candidates on a real device through the whole lab: `python benchmarks/lab/h200.py OUT [seconds] [names…]`.

Needs an H100 or H200, torch, Triton, flashinfer-bench and nvcc. Writes OUT/h200.json, and Nsight Compute reports where ncu is on PATH.
"""

from __future__ import annotations

import json
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
        spec = {
            "language": "python",
            "target_hardware": ["cuda"],
            "entry_point": "main.py::run",
            "destination_passing_style": not entry.get("returns", False),
        }
        made = {
            "name": entry["name"],
            "definition": "rmsnorm_h4096_bf16",
            "author": "tests",
            "spec": spec,
            "sources": [{"path": "main.py", "content": entry["source"]}],
        }
        path = folder / f"{entry['name']}.json"
        path.write_text(json.dumps(made), encoding="utf-8")
        found.append((entry["name"], entry["class"], "rmsnorm", "rmsnorm_h4096_bf16", path))
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 400.0, sys.argv[3:])

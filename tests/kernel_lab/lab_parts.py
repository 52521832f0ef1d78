"""Parts of the lab's tests: small datasets, workspaces and candidates."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "lab"
CORPUS = Path(__file__).parent / "corpus"
HAS_TORCH = importlib.util.find_spec("torch") is not None and importlib.util.find_spec("flashinfer_bench") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch and flashinfer-bench are not installed: ./run lab runs these")

LOOSE = "import torch\n\n\ndef run(hidden, weight):\n    scale = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)\n    return hidden * scale * weight * 0.0005\n"  # noqa: E501
NAMES = {"rmsnorm": ("rmsnorm", "rmsnorm_h1024"), "gemm": ("gemm", "gemm_n256_k256"), "topk": ("softmax_topk", "softmax_topk8_e64")}
QUICK = {"warmup": 1, "rounds": 6, "official_trials": 1, "seconds_per_workload": 1.0}


def document(name: str, definition: str, source: str, **spec: Any) -> dict[str, Any]:
    """A packed solution with one source, or several given as `more`."""
    more = spec.pop("more", {})
    entry = spec.pop("entry", "main.py")
    built = {
        "language": "python",
        "target_hardware": ["cpu"],
        "entry_point": f"{entry}::run",
        "dependencies": [],
        "destination_passing_style": True,
        **spec,
    }
    sources = [{"path": entry, "content": source}, *({"path": path, "content": text} for path, text in more.items())]
    return {"name": name, "definition": definition, "author": "tests", "spec": built, "sources": sources}


def write_json(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def small_dataset(root: Path, kind: str) -> tuple[Path, str, Path]:
    """(folder, definition, baseline) with one small workload of its own."""
    folder, name = NAMES.get(kind, NAMES["rmsnorm"])
    source = EXAMPLES / folder
    made = json.loads(next(source.rglob(f"definitions/**/{name}.json")).read_text(encoding="utf-8"))
    baseline = json.loads(next(source.rglob(f"solutions/**/{name}_baseline.json")).read_text(encoding="utf-8"))
    if kind == "loose":
        made["reference"] = LOOSE
        baseline["sources"][0]["content"] = baseline["sources"][0]["content"].replace("hidden.dtype))", "hidden.dtype) * 0.0005)")
    axis, size = {"gemm": ("M", 48), "topk": ("tokens", 96)}.get(kind, ("batch", 64))
    workload = {"uuid": f"{kind}-1", "axes": {axis: size}, "inputs": {item: {"type": "random"} for item in made["inputs"]}}
    write_json(root / "definitions" / "op" / f"{name}.json", made)
    write_json(root / "workloads" / "op" / f"{name}.jsonl", {"definition": name, "workload": workload})
    path = write_json(root / "solutions" / "op" / "baseline.json", baseline)
    return root, name, path


def make_lab(folder: Path, kind: str = "rmsnorm", policy: str = "leaderboard", arch: str = "cpu", **evaluation: Any) -> Any:
    """A workspace of its own with its own dataset beside it."""
    from kernel_lab import Lab

    data, name, baseline = small_dataset(folder / "data", kind)
    more = {"matched_ratio": 0.95} if kind == "ratio" else {}
    return Lab.init(folder / "work", data, name, baseline, arch, policy, evaluation={**QUICK, **more, **evaluation})


def candidate(entry: dict[str, Any], definition: str) -> dict[str, Any]:
    """A corpus entry as a packed solution."""
    spec = {"destination_passing_style": not entry.get("returns", False), "language": entry.get("language", "python")}
    return document(entry["name"], definition, entry["source"], entry=entry.get("entry", "main.py"), more=entry.get("more", {}), **spec)


def corpus(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((CORPUS / f"{kind}.yaml").read_text(encoding="utf-8"))
    return found

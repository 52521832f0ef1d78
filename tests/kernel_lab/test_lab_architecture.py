"""The lab's own rules: one file imports the scorer, the child imports nothing of ours, the judge's packages stay apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from lab_parts import ROOT

LAB = ROOT / "kernel_lab"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def importers(package: str) -> set[str]:
    return {path.name for path in LAB.rglob("*.py") if any(name == package or name.startswith(f"{package}.") for name in imported(path))}


def test_one_file_imports_the_scorer() -> None:
    assert importers("flashinfer_bench") == {"fib.py"}


def test_what_runs_in_the_candidates_process_imports_nothing_of_ours() -> None:
    for name in ("worker.py", "confine.py", "triton_worker.py", "torch_shapes.py"):
        assert not any(module.startswith("kernel_lab") for module in imported(LAB / name)), name


def test_the_lab_stands_alone() -> None:
    for package in ("kernelwiki", "ncu_skill", "ingest", "mcp_server"):
        assert importers(package) == set()


def test_the_reference_is_run_in_the_judges_process_only() -> None:
    assert importers("kernel_lab.reference") == {"judge.py"}
    assert "reference" not in (LAB / "worker.py").read_text(encoding="utf-8").split('"""', 2)[2]

"""docs/lab.md: its walk-through runs as it stands, and the pages agree with the code and the corpus."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from lab_parts import ROOT, corpus, needs_torch

from kernel_lab.gates import ORDER

PAGE = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")


@needs_torch
def test_the_walk_through_from_init_to_promote_runs_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    block = re.search(r"```bash\n(.*?)```", PAGE, re.S)
    assert block
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", block[1]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "is the incumbent" in done.stdout and "whole:" in done.stdout


def test_every_gate_is_explained() -> None:
    table = PAGE.split("## The gates")[1].split("\n## ")[0]
    assert [gate for gate in ORDER if gate not in table] == []


def test_the_table_names_every_candidate_of_the_corpus() -> None:
    table = (ROOT / "docs" / "lab-gates.md").read_text(encoding="utf-8")
    missing = [entry["name"] for kind in ("dishonest", "honest") for entry in corpus(kind) if f"| {entry['name']} |" not in table]
    assert missing == []
    rows = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[2]
        for line in table.splitlines()
        if line.startswith("| ") and line.count(" | ") >= 4
    }
    assert [entry["name"] for entry in corpus("dishonest") if rows[entry["name"]] == "pass"] == []
    assert [entry["name"] for entry in corpus("honest") if rows[entry["name"]] != entry["verdict"]] == []

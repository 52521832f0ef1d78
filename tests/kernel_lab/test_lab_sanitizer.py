"""The sanitizer gate. The tool needs a GPU, so a script stands in for compute-sanitizer; what it says was copied from runs on an H200."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_parts import LOOSE, document, make_lab, needs_torch

from kernel_lab import environment
from kernel_lab.sanitize import read_log, sanitize
from kernel_lab.solution import solution_of

CLEAN = {
    "memcheck": "========= ERROR SUMMARY: 0 errors",
    "synccheck": "========= ERROR SUMMARY: 0 errors",
    "racecheck": "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)",
}
INVALID = "========= Invalid __global__ read of size 2 bytes\\n=========     at norm+0x90\\n========= ERROR SUMMARY: 3 errors"
RACE = "========= Error: Race reported between Write access at norm+0xa80\\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error)"


def stand_in(folder: Path, say: dict[str, tuple[str, int]]) -> Path:
    """A compute-sanitizer that writes the given log and ends with the given status, by tool."""
    tool = folder / "compute-sanitizer"
    cases = "".join(
        f"""{name}) {f"printf '{words}' > $log" if words else "true"}; exit {status};;\n""" for name, (words, status) in say.items()
    )
    tool.write_text(
        '#!/bin/bash\necho "ERROR SUMMARY: 0 errors"  # a candidate can print this, too\n'
        'tool=$2; while [ "$1" != --log-file ]; do shift; done; log=$2\ncase $tool in\n' + cases + "esac\n",
        encoding="utf-8",
    )
    tool.chmod(0o755)
    return tool


@pytest.mark.parametrize(
    ("changed", "outcome", "words"),
    [
        ({}, "pass", "memcheck found nothing; synccheck found nothing; racecheck found nothing"),
        ({"memcheck": (INVALID, 77)}, "fail", "memcheck found 3 errors: Invalid __global__ read of size 2 bytes"),
        ({"racecheck": (RACE, 77)}, "review", "Race reported between Write access"),
        (
            {"racecheck": (RACE, 77), "synccheck": ("========= Barrier error\\n========= ERROR SUMMARY: 1 error", 77)},
            "fail",
            "synccheck found 1",
        ),
        ({"memcheck": ("", 0)}, "review", "memcheck did not finish"),
        ({"memcheck": (CLEAN["memcheck"], 1)}, "review", "memcheck did not finish"),
    ],
)
@needs_torch
def test_the_worst_tool_decides_and_an_unfinished_one_is_a_review(
    tmp_path: Path, changed: dict[str, tuple[str, int]], outcome: str, words: str
) -> None:
    contract = make_lab(tmp_path).workspace.contract
    candidate = solution_of(document("any", contract.definition.name, LOOSE), "the test")
    tool = stand_in(tmp_path, {**{name: (text, 0) for name, text in CLEAN.items()}, **changed})
    found, said = sanitize(contract, candidate, b"", tool)
    assert found == outcome and words in said


def test_warnings_of_racecheck_are_no_errors() -> None:
    assert read_log("racecheck", "========= RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)", 0, "")[0] == "pass"


def test_a_package_that_only_pythonpath_shows_is_missing_for_a_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert environment.isolated_lacks(("only_here", "json")) == ("only_here",)

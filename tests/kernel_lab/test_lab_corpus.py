"""No dishonest candidate passes and no honest one fails: the corpus on the CPU.

A candidate that behaves for the length of a judgement is told by reading alone: it is put to the static scan, which no verdict passes by.
The others go through every gate; the table in docs/lab-gates.md is made by putting all of them through every gate.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from lab_parts import candidate, corpus, make_lab, needs_torch, write_json

from kernel_lab.gates import Gate, scan_gate, verdict_of
from kernel_lab.scan import scan
from kernel_lab.solution import solution_of

READ = [entry for entry in corpus("dishonest") if entry["gates"] == ["static-scan"]]
RUN = [entry for entry in corpus("dishonest") if entry["gates"] != ["static-scan"]]


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @functools.cache
    def lab_for(kind: str, policy: str) -> Any:
        return make_lab(tmp_path_factory.mktemp(f"{kind}-{policy}"), kind, policy)

    return lab_for


def judged(labs: Any, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    lab = labs(entry.get("definition", "rmsnorm"), entry.get("policy", "leaderboard"))
    packed = candidate(entry, lab.workspace.contract.definition.name)
    if entry["name"] == "never_ends":
        lab = make_lab(folder)
        task = lab.workspace.root / "task.toml"
        task.write_text(task.read_text(encoding="utf-8").replace("call_s = 60", "call_s = 2"), encoding="utf-8")
        lab.freeze()
    found: dict[str, Any] = lab.verify(str(write_json(folder / "solution.json", packed)))
    return found


@pytest.mark.parametrize("entry", READ, ids=lambda entry: entry["name"])
def test_a_candidate_that_behaves_while_it_is_watched_is_seen_by_reading(entry: dict[str, Any]) -> None:
    gate = scan_gate(scan(solution_of(candidate(entry, "d"), "test"), True))
    assert gate.outcome in ("fail", "review"), entry["class"]
    assert verdict_of([gate, *(Gate(name, "pass", "") for name in ("run", "official", "fresh-inputs", "sandbox"))]) != "pass"


@needs_torch
@pytest.mark.parametrize("entry", RUN, ids=lambda entry: entry["name"])
def test_a_dishonest_candidate_is_caught_by_the_gate_of_its_class(entry: dict[str, Any], labs: Any, tmp_path: Path) -> None:
    found = judged(labs, entry, tmp_path)
    caught = [gate["name"] for gate in found["gates"] if not gate["ok"]]
    assert found["verdict"] != "pass", entry["class"]
    assert set(caught) & set(entry["gates"]), (entry["class"], caught)


@pytest.mark.parametrize("entry", corpus("honest"), ids=lambda entry: entry["name"])
def test_reading_alone_never_fails_an_honest_candidate(entry: dict[str, Any]) -> None:
    gate = scan_gate(scan(solution_of(candidate(entry, "d"), "test"), True))
    assert gate.outcome == "pass" or (gate.outcome == "review" and entry["verdict"] == "review"), gate.detail


@needs_torch
@pytest.mark.parametrize("entry", corpus("honest"), ids=lambda entry: entry["name"])
def test_an_honest_candidate_passes_or_is_reviewed_for_a_reason_that_is_written_down(
    entry: dict[str, Any], labs: Any, tmp_path: Path
) -> None:
    found = judged(labs, entry, tmp_path)
    complaints = [(gate["name"], gate["outcome"], gate["detail"]) for gate in found["gates"] if not gate["ok"]]
    assert found["verdict"] == entry["verdict"], complaints
    assert ("why" in entry) == (entry["verdict"] == "review")


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(corpus("dishonest")) >= 40
    assert len(corpus("honest")) >= 15

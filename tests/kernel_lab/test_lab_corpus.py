"""No dishonest candidate passes and no honest one fails: every candidate of the corpus through every gate, on the CPU."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from lab_parts import candidate, corpus, make_lab, needs_torch, write_json

pytestmark = needs_torch


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @functools.cache
    def lab_for(kind: str, policy: str) -> Any:
        return make_lab(tmp_path_factory.mktemp(f"{kind}-{policy}"), kind, policy)

    return lab_for


def verdict_of(labs: Any, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    lab = labs(entry.get("definition", "rmsnorm"), entry.get("policy", "leaderboard"))
    packed = candidate(entry, lab.workspace.contract.definition.name)
    if entry["name"] == "never_ends":
        lab = make_lab(folder)
        task = lab.workspace.root / "task.toml"
        task.write_text(task.read_text(encoding="utf-8").replace("call_s = 60", "call_s = 2"), encoding="utf-8")
        lab.freeze()
    found: dict[str, Any] = lab.verify(str(write_json(folder / "solution.json", packed)))
    return found


@pytest.mark.parametrize("entry", corpus("dishonest"), ids=lambda entry: entry["name"])
def test_a_dishonest_candidate_is_caught_by_the_gate_of_its_class(entry: dict[str, Any], labs: Any, tmp_path: Path) -> None:
    found = verdict_of(labs, entry, tmp_path)
    caught = [gate["name"] for gate in found["gates"] if not gate["ok"]]
    assert found["verdict"] != "pass", entry["class"]
    assert set(caught) & set(entry["gates"]), (entry["class"], caught)


@pytest.mark.parametrize("entry", corpus("honest"), ids=lambda entry: entry["name"])
def test_an_honest_candidate_passes_or_is_reviewed_for_a_reason_that_is_written_down(
    entry: dict[str, Any], labs: Any, tmp_path: Path
) -> None:
    found = verdict_of(labs, entry, tmp_path)
    complaints = [(gate["name"], gate["outcome"], gate["detail"]) for gate in found["gates"] if not gate["ok"]]
    assert found["verdict"] == entry["verdict"], complaints
    assert ("why" in entry) == (entry["verdict"] == "review")


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(corpus("dishonest")) >= 40
    assert len(corpus("honest")) >= 15

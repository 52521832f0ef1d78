"""GitHub ingest with a token: paths and discussion in batches, with the same records as the REST interface gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from github_bench import REPO, Bench, fill
from github_server import status

from ingest.session import Session
from kernelwiki.home import Places, corpus_folder


def test_with_a_token_paths_and_discussion_come_in_batches_and_the_records_are_the_same(bench: Bench, tmp_path: Path) -> None:
    fill(bench.github, 60)
    for number in range(2, 60, 2):
        bench.github.repository().files[number] = [{"filename": "docs/a.md", "status": "modified", "additions": 1, "deletions": 0}]
    bench.sync()
    plain = len(bench.github.requests)
    fast = Bench(tmp_path / "fast", bench.github)
    bench.github.graphql = True
    fast.sync(client=fast.client(token="t"))
    requests = bench.github.requests[plain:]
    assert [method for method, _, _ in requests].count("POST") == 3
    assert len(requests) == 1 + 3 + 31 < plain
    assert fast.records == bench.records
    assert {number: row.decision for number, row in _aside(fast).items()} == {number: row.decision for number, row in _aside(bench).items()}


def _aside(bench: Bench) -> dict[int, Any]:
    return Session.open(Places(corpus_folder(), bench.home)).folder(REPO).left_out()


GRAPHQL_FAULTS = {
    "not there": status(404, "Not Found"),
    "errors with status 200": lambda handler: handler.answer(200, {"errors": [{"type": "SOMETHING", "message": "no"}]}) is None,
    "an odd answer": lambda handler: handler.answer(200, {"data": {"repository": []}}) is None,
    "null pull requests": lambda handler: handler.answer(200, {"data": {"repository": {"p1": None, "p2": {}}}}) is None,
}


@pytest.mark.parametrize("fault", GRAPHQL_FAULTS.values(), ids=GRAPHQL_FAULTS)
def test_without_graphql_the_rest_interface_gives_the_same_records(bench: Bench, tmp_path: Path, fault: Any) -> None:
    fill(bench.github, 12)
    bench.sync()
    slow = Bench(tmp_path / "slow", bench.github)
    bench.github.fail(fault, "graphql", times=9)
    slow.sync(client=slow.client(token="t"))
    assert slow.records == bench.records


def test_graphql_that_is_overloaded_is_asked_for_less_at_a_time(bench: Bench) -> None:
    fill(bench.github, 20)
    bench.github.graphql = True
    bench.github.fail(status(502), "graphql", times=5)
    bench.sync(client=bench.client(token="t"))
    assert [method for method, _, _ in bench.github.requests].count("POST") == 5 + 2
    assert len(bench.records) == 20


def test_a_graphql_limit_that_comes_with_status_200_is_waited_for(bench: Bench) -> None:
    fill(bench.github, 12)
    bench.github.graphql = True
    bench.github.fail(lambda handler: handler.answer(200, {"errors": [{"type": "RATE_LIMITED", "message": "x"}]}) is None, "graphql")
    bench.sync(client=bench.client(token="t"))
    assert bench.clock.slept == [60.0] and len(bench.records) == 12


def test_comments_that_cannot_be_read_cost_only_the_comments_and_come_with_the_next_run(bench: Bench) -> None:
    fill(bench.github, 12)
    bench.github.fail(status(500), "comments", times=1_000)
    report = bench.sync()
    assert (report.kept, report.failed, report.complete) == (12, 12, True)
    assert "comments cannot be read" in " ".join(report.notes)
    assert len([path for path in bench.github.paths if "comments" in path]) == 15
    bench.github.faults.clear()
    assert bench.sync().failed == 0
    assert all(record.discussion for record in bench.records.values())
    assert bench.sync().requests == 1

"""The `kwiki` commands that print one item or a list of them: show, trace, list."""

from __future__ import annotations

import re

import pytest
from printed import assert_clean


@pytest.mark.parametrize("wanted", ["cutlass#2472", "CUTLASS#2472", "NVIDIA/cutlass#2472", "https://github.com/NVIDIA/cutlass/pull/2472"])
@pytest.mark.parametrize("command", ["show", "trace"])
def test_every_spelling_of_a_pull_request_is_understood(kwiki, command: str, wanted: str) -> None:
    run = kwiki(command, wanted, "--json")
    assert (run.code, run.err) == (0, "")
    data = run.json
    assert (data["id"] if command == "show" else data["links"][0]["name"]) == "cutlass#2472"


def test_show_prints_a_pull_requests_facts_as_json(kwiki) -> None:
    data = kwiki("show", "cutlass#2472", "--json").json
    assert data["schema_version"] == 1
    assert (data["repo"], data["number"]) == ("NVIDIA/cutlass", 2472)
    assert re.fullmatch(r"[0-9a-f]{40}", data["merge_sha"])
    assert all(set(file) == {"path", "additions", "deletions"} for file in data["files"])
    assert all("url" in item for item in data["evidence"] if "path" in item)


def test_show_sources_prints_every_file_and_locator(kwiki) -> None:
    short, full = kwiki("show", "cutlass#2472"), kwiki("show", "cutlass#2472", "--sources")
    assert short.code == full.code == 0
    assert "--sources shows all" in short.out
    assert len(full.out) > len(short.out)
    assert re.search(r"\([\w/.-]+:\d+\)", full.out)


def test_show_prints_a_page_a_section_and_its_sources(kwiki) -> None:
    page = kwiki("show", "hardware/tcgen05").out
    option, anchor = kwiki("show", "hardware/tcgen05", "--section", "pitfalls").out, kwiki("show", "hardware/tcgen05#pitfalls").out
    assert "## How" in page
    assert option == anchor
    assert "## How" not in option
    cited = kwiki("show", "hardware/tcgen05", "--section", "pitfalls", "--sources").out
    assert "## Sources" in cited
    assert re.search(r"DeepGEMM#285 \(20\d\d-\d\d-\d\d\) deep_gemm/", cited)


@pytest.mark.parametrize("named", ["pull", "Pull requests", "PULL-REQUESTS"])
def test_a_section_is_named_by_the_beginning_of_its_heading(kwiki, named: str) -> None:
    whole = kwiki("show", "hardware/tcgen05#pull-requests").out
    assert "## Pull requests" in whole
    assert kwiki("show", "hardware/tcgen05", "--section", named).out == whole
    assert kwiki("trace", f"hardware/tcgen05#{named}").out == kwiki("trace", "hardware/tcgen05#pull-requests").out


def test_show_prints_a_page_as_json(kwiki) -> None:
    data = kwiki("show", "hardware/tcgen05", "--section", "pitfalls", "--json").json
    assert (data["schema_version"], data["id"]) == (1, "hardware/tcgen05")
    assert [part["slug"] for part in data["sections"]] == ["pitfalls"]
    assert {source["kind"] for source in data["sources"]} >= {"doc", "pr", "evidence"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "hardware/tcgen5"], ["hardware/tcgen05"]),
        (["show", "cutlass#247299"], ["Nearest: cutlass#"]),
        (["show", "nowhere"], ["kwiki search", "kwiki list"]),
        (["show", "hardware/tcgen05", "--section", "nope"], ["what-it-is", "pitfalls"]),
        (["show", "hardware/tcgen05#nope"], ["pitfalls"]),
        (["show", "hardware/tcgen05", "--section", "p"], ["pitfalls", "pull-requests"]),
        (["trace", "hardware/tcgen05#nope"], ["pitfalls"]),
        (["trace", "hardware/tcgen5"], ["hardware/tcgen05"]),
        (["trace", "cutlass#247299"], ["Nearest: cutlass#"]),
        (["list", "--repo", "nowhere"], ["cutlass", "vllm"]),
        (["show", "../../etc/passwd"], ["no such page"]),
        (["show", "\x1b[31mred#1"], ["no such page"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unknown_id_exits_3_and_names_near_ones(kwiki, arguments: list[str], words: list[str]) -> None:
    run = kwiki(*arguments, "--json")
    assert (run.code, run.out) == (3, "")
    assert all(word in run.err for word in words), run.err
    assert_clean(run.err)


def test_trace_prints_a_chain_as_json(kwiki) -> None:
    run = kwiki("trace", "DeepGEMM#285", "--json")
    assert (run.code, run.err) == (0, "")
    pull_request, commit, *evidence = run.json["links"]
    assert (pull_request["kind"], commit["kind"]) == ("pull request", "merge commit")
    assert evidence
    assert all(link["url"].startswith("https://github.com/deepseek-ai/DeepGEMM/") for link in run.json["links"])


def test_trace_shows_twenty_links_or_all(kwiki) -> None:
    short, full = kwiki("trace", "hardware/tcgen05"), kwiki("trace", "hardware/tcgen05", "--all")
    assert len(short.out.splitlines()) == 21
    assert "--all shows them" in short.out
    assert len(full.out.splitlines()) > 21
    assert len(kwiki("trace", "hardware/tcgen05", "--json").json["links"]) == len(full.out.splitlines())


def test_list_prints_pages_terms_and_pull_requests(kwiki) -> None:
    pages, terms = kwiki("list", "--limit", "5000", "--json").json, kwiki("list", "--terms", "--limit", "5000", "--json").json
    records = kwiki("list", "--repo", "cutlass", "--limit", "30", "--json").json
    assert pages["total"] == len(pages["items"]) >= 90
    assert terms["total"] == len(terms["items"]) > 100
    assert {"id": "tmem", "title": "Tensor Memory (TMEM)", "kind": "hardware"} in terms["items"]
    dates = [item["merged_at"] for item in records["items"]]
    assert len(dates) == 30
    assert dates == sorted(dates, reverse=True)
    assert all(item["id"].startswith("cutlass#") for item in records["items"])


def test_list_pages_through_a_repository(kwiki) -> None:
    def ids(*options: str) -> list[str]:
        return [line.split("  ")[0] for line in kwiki("list", "--repo", "DeepGEMM", *options).out.splitlines()]

    assert ids("--limit", "5") + ids("--limit", "5", "--offset", "5") == ids("--limit", "10")

"""The `kwiki` command as users and agents run it: every command in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import pytest

START = "from kernelwiki.cli import main; main()"
RESULT_TYPES = {
    "id": str,
    "kind": str,
    "title": str,
    "url": str,
    "match": str,
    "score": float,
    "snippet": str,
    "archs": list,
    "tags": list,
    "evidence": list,
    "repo": str,
    "number": int,
    "merged_at": str,
}
EVIDENCE_TYPES = {"path": str, "line": int, "sha": str, "url": str, "text": str}
COMMANDS = ("search", "show", "trace", "list", "stats", "check", "doctor", "index", "ingest")


def strings(data: Any) -> str:
    """Every string inside a JSON document, joined: its repr would hide control characters."""
    if isinstance(data, dict):
        return strings([*data.keys(), *data.values()])
    return " ".join(map(strings, data)) if isinstance(data, list) else str(data)


def assert_clean(text: str) -> None:
    """No control or direction character but the newline, and no traceback."""
    assert "Traceback" not in text
    assert not [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t"]


# -- help and usage -----------------------------------------------------------------------------------------------------


def test_the_help_names_every_command_and_the_exit_codes(kwiki) -> None:
    run = kwiki("--help")
    assert run.code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", run.out, re.M)
    assert "Exit codes: 0 ok" in run.out


def test_the_version_is_the_one_of_the_distribution(kwiki) -> None:
    run = kwiki("--version")
    assert (run.code, run.err) == (0, "")
    assert metadata.version("kernel-skills") in run.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "x", "--nope"],
        ["search", "x", "--kind", "book"],
        ["search", "x", "--limit", "-1"],
        ["search", "x", "--limit", "many"],
        ["search", "x", "--limit", "5001"],
        ["search", "x", "--offset", "-1"],
        ["search", "x", "--store", "cloud"],
        ["show"],
        ["trace"],
        ["nope"],
        ["index", "nope"],
        ["list", "--limit", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(kwiki, arguments: list[str]) -> None:
    run = kwiki(*arguments)
    assert (run.code, run.out) == (2, "")
    assert "Error:" in run.err
    assert_clean(run.err)


# -- search -------------------------------------------------------------------------------------------------------------


def test_search_prints_one_json_document_as_contracted(kwiki) -> None:
    run = kwiki("search", "tcgen05 accumulator in tensor memory", "--limit", "20", "--json")
    assert (run.code, run.err) == (0, "")
    data = run.json
    assert next(iter(data)) == "schema_version"
    assert data["query"] == "tcgen05 accumulator in tensor memory"
    assert data["total"] > len(data["results"]) == 20
    assert {result["kind"] for result in data["results"]} == {"page", "pr"}
    for result in data["results"]:
        optional = {"repo", "number", "merged_at"}
        assert set(RESULT_TYPES) - optional <= set(result) <= set(RESULT_TYPES)
        assert (optional <= set(result)) == (result["kind"] == "pr")
        assert {key: type(value) for key, value in result.items()} == {key: RESULT_TYPES[key] for key in result}
        assert result["match"] in ("strong", "fair", "weak")
        for item in result["evidence"]:
            assert {"path", "sha", "url"} <= set(item) <= set(EVIDENCE_TYPES)
            assert all(type(value) is EVIDENCE_TYPES[key] for key, value in item.items())
            assert re.fullmatch(r"[0-9a-f]{40}", item["sha"])
            assert item["url"].startswith("https://github.com/")


def test_search_without_json_prints_blocks_with_id_label_and_address(kwiki) -> None:
    run = kwiki("search", "tail effect", "--kind", "pr", "--limit", "3")
    assert (run.code, run.err) == (0, "")
    assert len(re.findall(r"^[\w.-]+#\d+ · (strong|fair|weak) · \d{4}-\d{2}-\d{2}", run.out, re.M)) == 3
    assert re.search(r"\n\n3 of \d+ shown\.\n$", run.out)


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        (["--kind", "page"], lambda hit: hit["kind"] == "page"),
        (["--kind", "pr"], lambda hit: hit["kind"] == "pr"),
        (["--repo", "cutlass"], lambda hit: hit["repo"] == "NVIDIA/cutlass"),
        (["--repo", "cutlass", "--repo", "vllm"], lambda hit: hit["repo"] in ("NVIDIA/cutlass", "vllm-project/vllm")),
        (["--arch", "B200"], lambda hit: "sm100" in hit["archs"]),
        (["--arch", "sm90", "--arch", "sm120"], lambda hit: {"sm90", "sm120"} & set(hit["archs"])),
        (["--tag", "tmem", "--kind", "page"], lambda hit: hit["kind"] == "page"),
        (["--store", "exact"], lambda hit: hit["kind"] in ("page", "pr")),
        (["--since", "2026-03", "--kind", "pr"], lambda hit: hit["merged_at"] >= "2026-03"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_result_satisfies_the_options(kwiki, options: list[str], keeps) -> None:
    results = kwiki("search", "tensor core gemm", *options, "--limit", "40", "--json").json["results"]
    assert results
    assert all(keeps(hit) for hit in results)


def test_offset_continues_where_limit_ended(kwiki) -> None:
    def ids(*options: str) -> list[str]:
        return [hit["id"] for hit in kwiki("search", "warp specialization", *options, "--json").json["results"]]

    assert ids("--limit", "4") + ids("--limit", "4", "--offset", "4") == ids()


def test_no_match_is_one_document_exit_0_with_suggestions(small_corpus) -> None:
    run = small_corpus.run("search", "spil", "--json")
    assert run.code == 0
    assert (run.json["total"], run.json["results"]) == (0, [])
    assert any("spill" in word for word in run.json["suggestions"])
    text = small_corpus.run("search", "spil")
    assert text.code == 0
    assert "No match" in text.out
    assert "spill" in text.out


def test_notes_go_to_stderr_and_into_the_document(kwiki) -> None:
    run = kwiki("search", "", "--json")
    assert run.code == 0
    assert run.json["total"] == 0
    assert "no words" in run.err
    assert any("no words" in note for note in run.json["notes"])


def test_the_first_search_builds_the_index_and_says_so_on_stderr(small_corpus) -> None:
    first, second = small_corpus.run("search", "tma", "--json"), small_corpus.run("search", "tma", "--json")
    assert first.code == second.code == 0
    assert "Building the search index" in first.err
    assert second.err == ""
    assert first.json == second.json


HOSTILE = {
    "spaces": "   ",
    "10,000 characters": "tma " * 2500,
    "100,000 characters": "x" * 100_000,
    "emoji": "🔥🧵",
    "SQL": "'; DROP TABLE records; --",
    "regex": "(a+)+$[^]",
    "ANSI": "\x1b[31mtma\x1b[0m \x07",
    "control characters": "tma \x01\x02\x9b31m load",
    "right-to-left marks": "\u202etma\u2066 load\u200b",
    "not UTF-8": b"tma \xff\xfe load",
}


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_query_makes_the_command_fail_or_print_control_characters(kwiki, query: str | bytes) -> None:
    run = kwiki("search", "--limit", "2", "--json", "--", query)
    assert run.code == 0
    assert run.json["total"] >= len(run.json["results"])
    assert_clean(run.err + strings(run.json))
    assert_clean(run.out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--repo", "nowhere"], ["--repo nowhere", "cutlass", "vllm"]),
        (["--arch", "sm999"], ["--arch sm999", "sm100", "B200"]),
        (["--tag", "tmme"], ["--tag tmme", "tmem", "kwiki list --terms"]),
        (["--since", "someday"], ["--since someday", "2025-06-30"]),
    ],
    ids=" ".join,
)
def test_an_unknown_filter_value_exits_2_with_valid_ones(kwiki, options: list[str], words: list[str]) -> None:
    run = kwiki("search", "gemm", *options, "--json")
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("kwiki: ")
    assert all(word in run.err for word in words)
    assert_clean(run.err)


# -- show, trace, list --------------------------------------------------------------------------------------------------


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


# -- stats, check, doctor, index ----------------------------------------------------------------------------------------


def test_stats_counts_every_repository_with_its_cut_off(kwiki) -> None:
    data, text = kwiki("stats", "--json").json, kwiki("stats").out
    assert data["schema_version"] == 1
    assert data["records"] == sum(row["records"] for row in data["repositories"])
    for row in data["repositories"]:
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", row["cut_off"])
        assert row["repo"] in text
        assert row["cut_off"] in text


def test_doctor_finds_nothing_wrong_where_the_index_is_built(kwiki) -> None:
    run = kwiki("doctor", "--json")
    assert run.json["schema_version"] == 1
    findings = {finding["name"]: finding for finding in run.json["findings"]}
    assert findings["python"]["ok"]
    assert findings["corpus"]["ok"]
    assert findings["index"]["ok"], findings
    assert (run.code == 0) == run.json["ok"]


def test_doctor_says_what_to_run_where_there_is_no_index(small_corpus) -> None:
    run = small_corpus.run("doctor")
    assert run.code == 1
    assert "FAIL index" in run.out
    assert "run: kwiki index build" in run.out


def test_an_index_is_built_kept_and_forced(small_corpus) -> None:
    assert small_corpus.run("index", "status", "--json").json["up_to_date"] is False
    built = small_corpus.run("index", "build", "--no-chroma", "--json")
    assert built.code == 0
    assert (built.json["documents"], built.json["store"]) == (6, "exact")
    assert small_corpus.run("index", "status", "--json").json["up_to_date"] is True
    again = small_corpus.run("index", "build", "--no-chroma")
    assert (again.code, again.err) == (0, "")
    forced = small_corpus.run("index", "build", "--no-chroma", "--force")
    assert "Building" in forced.err


def test_the_folder_of_the_indexes_is_printed(small_corpus) -> None:
    run = small_corpus.run("index", "path")
    assert (run.code, run.out) == (0, f"{small_corpus.home / 'index'}\n")


def test_the_status_of_the_index_is_json_in_both_forms(kwiki) -> None:
    text, data = kwiki("index", "status"), kwiki("index", "status", "--json").json
    assert data.pop("schema_version") == 1
    assert json.loads(text.out) == data
    assert data["up_to_date"] is True


@pytest.mark.parametrize("command", [["search", "tma"], ["show", "hardware/tma"], ["stats"], ["check"], ["list"]], ids=" ".join)
def test_a_corpus_setting_that_names_no_corpus_exits_4(kwiki, tmp_path, command: list[str]) -> None:
    run = kwiki(*command, KWIKI_CORPUS=str(tmp_path))
    assert (run.code, run.out) == (4, "")
    assert "KWIKI_CORPUS" in run.err
    assert_clean(run.err)


def test_a_broken_vocabulary_exits_4_and_names_the_file(small_corpus) -> None:
    small_corpus.vocabulary.write_text("- id: [", encoding="utf-8")
    run = small_corpus.run("search", "tma", "--json")
    assert (run.code, run.out) == (4, "")
    assert "terms.yaml" in run.err
    assert_clean(run.err)


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="sentence-transformers is installed here")
def test_a_model_that_is_not_installed_exits_5_and_says_what_to_install(small_corpus) -> None:
    run = small_corpus.run("search", "tma", "--embedder", "some/model")
    assert (run.code, run.out) == (5, "")
    assert "kernel-skills[embed]" in run.err


def test_a_reader_that_stops_early_is_no_error(kwiki, shipped_home) -> None:
    command = [sys.executable, "-c", START, "list", "--repo", "vllm", "--limit", "5000"]
    environment = {**os.environ, "KWIKI_HOME": str(shipped_home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith(b"vllm#")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)

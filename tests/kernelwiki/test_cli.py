"""The `kwiki` command as users and agents run it: every command in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec

import pytest
from printed import assert_clean, strings

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

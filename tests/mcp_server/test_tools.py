"""The tools over both transports: what they answer, how they page, what their errors say."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_parts import ROOT, Caller, Places, text_of
from mcp_types import CallToolResult

from mcp_server import fence
from mcp_server.budget import CONCISE, HARD_CAP, compact_json

WIKI = ["kwiki_search", "kwiki_read", "kwiki_trace"]
NCU = ["ncu_summary", "ncu_diagnose", "ncu_hotspots", "ncu_timeline", "ncu_diff", "ncu_metrics"]


def listed(caller: Caller) -> list[Any]:
    return caller.portal.call(caller.client.list_tools).tools


def test_the_tools_are_listed_in_a_stable_order_and_without_the_lab(caller: Caller) -> None:
    assert [tool.name for tool in listed(caller)] == WIKI + NCU
    assert [tool.name for tool in listed(caller)] == WIKI + NCU


def test_every_tool_says_that_it_only_reads_and_stays_on_this_machine(caller: Caller) -> None:
    for tool in listed(caller):
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.open_world_hint is False


def test_a_search_answers_in_both_halves_of_the_result(caller: Caller) -> None:
    found = caller.result("kwiki_search", query="grouped GEMM on sm100", limit=3)
    data = found.structured_content
    assert data["schema_version"] == 1 and data["notice"] == fence.NOTICE
    assert len(data["results"]) == 3 and data["total"] > 3
    assert all(hit["id"] in text_of(found) for hit in data["results"])
    assert {"id", "kind", "title", "url", "match", "snippet"} <= set(data["results"][0])


def test_the_next_call_of_a_search_goes_on_where_the_last_one_stopped(caller: Caller) -> None:
    whole = caller.data("kwiki_search", query="FP8 GEMM", kind="pr", limit=6)
    first = caller.data("kwiki_search", query="FP8 GEMM", kind="pr", limit=3)
    assert first["next_offset"] == 3
    second = caller.again(first["next"])
    ids = [hit["id"] for hit in [*first["results"], *second["results"]]]
    assert ids == [hit["id"] for hit in whole["results"]]


def test_filters_take_several_values_separated_by_commas(caller: Caller) -> None:
    found = caller.data("kwiki_search", query="GEMM", kind="pr", repo="DeepGEMM,FlashMLA", limit=20)
    assert {hit["id"].split("#")[0] for hit in found["results"]} <= {"DeepGEMM", "FlashMLA"}
    assert "sm100" in caller.data("kwiki_search", query="GEMM", arch="sm100", limit=1)["results"][0]["archs"]


def test_detailed_adds_what_concise_leaves_out(caller: Caller) -> None:
    short = caller.data("kwiki_search", query="TMA multicast", kind="pr", limit=2)["results"][0]
    long = caller.data("kwiki_search", query="TMA multicast", kind="pr", limit=2, response_format="detailed")["results"][0]
    assert "score" not in short and long["score"] > 0
    assert all("url" not in place for place in short.get("evidence", []))
    assert all(place["url"].startswith("https://") for place in long["evidence"])


def finding_ids() -> list[str]:
    """Every finding of the playbook: what ncu_diagnose may say."""
    rows = yaml.safe_load((ROOT / "ncu_skill" / "playbook.yaml").read_text(encoding="utf-8"))
    return [name for name, row in rows.items() if isinstance(row, dict) and "title" in row]


def test_every_finding_id_leads_to_its_own_page_first(memory: Caller) -> None:
    assert len(finding_ids()) >= 29
    for finding in finding_ids():
        for kind in ("any", "page"):
            found = memory.data("kwiki_search", query=finding, kind=kind, limit=3)
            assert found["results"][0]["id"] == f"pattern/{finding}", (finding, kind)
            assert finding in found["terms"], finding


def test_the_findings_are_those_of_the_contract(memory: Caller) -> None:
    contract = ROOT.parent / "shared" / "design" / "contracts.md"
    if not contract.is_file():
        pytest.skip("../shared/design is not here")
    listed = contract.read_text(encoding="utf-8").split("* Finding ids:")[1].split(";")[0]
    assert set(re.findall(r"`([a-z0-9-]+)`", listed)) <= set(finding_ids())


def test_the_first_use_of_a_name_is_one_call(caller: Caller) -> None:
    found = caller.data("kwiki_search", query="cp.async.bulk", uses="cp.async.bulk", sort="oldest", limit=50)
    assert found["total"] == len(found["results"]) > 0
    times = [hit["merged_at"] for hit in found["results"]]
    assert times == sorted(times)
    for hit in found["results"]:
        assert hit["evidence"][0]["text"].startswith("cp.async.bulk") and hit["evidence"][0]["line"]
    first = caller.data("kwiki_search", query="bulk copy", uses="cp.async.bulk", sort="newest", limit=1)
    assert first["results"][0]["merged_at"] == max(times)
    if "next" in first:
        assert '"sort": "newest"' in first["next"] and '"uses": "cp.async.bulk"' in first["next"]


def test_a_slip_in_a_name_is_answered_by_the_nearest_one(caller: Caller) -> None:
    assert caller.error("ncu_summary", report="rangee.ncu-rep").rsplit("Next: ", 1)[1] == 'ncu_summary {"report": "range.ncu-rep"}'
    assert caller.error("ncu_summary", report="graf.ncu-rep").rsplit("Next: ", 1)[1] == 'ncu_summary {"report": "graph.ncu-rep"}'
    names = [group["name"] for group in caller.data("ncu_summary", report="python.ncu-rep")["groups"]]
    wanted = next(name for name in reversed(names) if re.fullmatch(r"\w{8,}", name))
    slip = wanted[:3] + wanted[4:]
    assert not any(slip in name for name in names)
    message = caller.error("ncu_diagnose", report="python.ncu-rep", kernel=slip)
    assert message.rsplit("Next: ", 1)[1].endswith(f'"kernel": "{wanted}"}}')


def test_a_page_is_read_to_its_end_by_the_next_calls(caller: Caller) -> None:
    part = caller.data("kwiki_read", id="hardware/tcgen05", response_format="detailed")
    whole = part["total"]
    text = inside(part["text"])
    while "next" in part:
        part = caller.again(part["next"])
        text += inside(part["text"])
    assert len(text) == whole
    assert text.startswith("# ") and "Sources" in text


def inside(fenced: str) -> str:
    """What stands inside a fence."""
    rows = fenced.split("\n")
    assert rows[0].startswith("```") and rows[-1] == rows[0].removesuffix("text")
    return "\n".join(rows[1:-1])


def test_a_section_is_read_by_its_id_and_the_sections_are_named(caller: Caller) -> None:
    page = caller.data("kwiki_read", id="hardware/tcgen05")
    section = page["sections"][0]
    part = caller.data("kwiki_read", id=f"hardware/tcgen05#{section}")
    assert part["total"] < page["total"]


def test_a_trace_leads_to_pull_request_sha_file_and_line(caller: Caller) -> None:
    hit = caller.data("kwiki_search", query="SM100 GEMM", kind="pr", repo="DeepGEMM", limit=1)["results"][0]
    links = caller.data("kwiki_trace", id=hit["id"])["links"]
    assert [link["kind"] for link in links[:2]] == ["pull request", "merge commit"]
    assert any(link.get("line") and link["sha"] in link["url"] for link in links)


def test_a_summary_names_the_kernels_by_time(caller: Caller) -> None:
    found = caller.data("ncu_summary", report="python.ncu-rep")
    times = [group["time_share_pct"] for group in found["groups"]]
    assert times == sorted(times, reverse=True)
    assert found["report"]["device"] == "NVIDIA H200"


def test_a_diagnosis_comes_with_pages_and_pull_requests_for_its_symptom(caller: Caller) -> None:
    found = caller.data("ncu_diagnose", report="python.ncu-rep")
    findings = [finding for kernel in found["kernels"] for finding in kernel["findings"]]
    assert findings[0]["rank"] == 1 and findings[0]["evidence"] and findings[0]["fixes"] and findings[0]["falsifier"]
    related = [item for finding in findings for key in ("pages", "prs") for item in finding.get(key, [])]
    assert related
    for item in related:
        assert caller.data("kwiki_read", id=item["id"])["title"]


def test_kernels_of_a_diagnosis_are_paged(caller: Caller) -> None:
    names = []
    found = caller.data("ncu_diagnose", report="python.ncu-rep", limit=2)
    while True:
        names += [kernel["launch"] for kernel in found["kernels"]]
        if "next" not in found:
            break
        found = caller.again(found["next"])
    assert len(names) == len(set(names)) == found["total"]


def test_hot_lines_and_metrics_are_paged(caller: Caller) -> None:
    lines = caller.data("ncu_hotspots", report="python.ncu-rep", limit=1)
    assert lines["samples"] > 0 and len(lines["lines"]) == 1
    if "next" in lines:
        assert caller.again(lines["next"])["lines"] != lines["lines"]
    first = caller.data("ncu_metrics", report="python.ncu-rep", match="smsp__*", limit=5)
    second = caller.again(first["next"])
    assert len(first["metrics"]) == len(second["metrics"]) == 5
    assert not {row["name"] for row in first["metrics"]} & {row["name"] for row in second["metrics"]}


def test_a_report_without_samples_gets_no_invented_timeline(caller: Caller) -> None:
    found = caller.data("ncu_timeline", report="range.ncu-rep")
    assert found["refused"] or found["phases"]


def test_a_timeline_names_its_shape(caller: Caller, shared_reports: Path) -> None:
    found = caller.data("ncu_timeline", report=str(shared_reports / "tail.ncu-rep"))
    assert found["shape"] == "tail" and found["phases"] and found["series"][0]["values"]


def test_a_report_compared_with_itself_is_the_same(caller: Caller) -> None:
    found = caller.data("ncu_diff", base="python.ncu-rep", candidate="python.ncu-rep", limit=2)
    assert found["comparable"]["ok"] is True
    assert {kernel["verdict"] for kernel in found["kernels"]} <= {"same", "inconclusive"}
    assert len(found["kernels"]) == 2 and found["next_offset"] == 2


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("kwiki_read", {"id": "hardware/tcgen5"}, ["no such page", "hardware/tcgen05", "Next: kwiki_read"]),
        ("kwiki_read", {"id": "DeepGEMM#99999"}, ["no such page or pull request", "Nearest"]),
        ("kwiki_trace", {"id": "nonsense"}, ["no such page", "Next: kwiki_search"]),
        ("kwiki_search", {"query": "x", "repo": "nope"}, ["nope", "DeepGEMM"]),
        ("kwiki_search", {"query": "x", "since": "yesterday"}, ["yesterday"]),
        ("kwiki_search", {"query": "x", "archs": "sm90"}, ['no argument "archs"', "Did you mean arch?"]),
        ("kwiki_search", {"query": "x", "limit": 0}, ["limit", "greater than or equal to 1"]),
        ("kwiki_search", {"query": ""}, ["query"]),
        ("kwiki_search", {}, ["query", "required"]),
        ("kwiki_find", {"query": "x"}, ["no tool", "kwiki_read", "ncu_diagnose"]),
        ("ncu_summary", {"report": "pyton.ncu-rep"}, ["no file there", "python.ncu-rep", "Next: ncu_summary"]),
        ("ncu_diagnose", {"report": "python.ncu-rep", "kernel": "nothing_like_it"}, ["no kernel", "Nearest", "Next: ncu_diagnose"]),
        ("ncu_diagnose", {"report": "python.ncu-rep", "kernel": "(("}, ["regular expression"]),
        ("ncu_diagnose", {"report": "python.ncu-rep", "launch": 100000}, ["no launch"]),
        ("lab_status", {}, ["no tool"]),
    ],
)
def test_an_error_says_what_was_wrong_what_is_valid_and_the_next_call(
    caller: Caller, tool: str, arguments: dict[str, Any], words: list[str]
) -> None:
    message = caller.error(tool, **arguments)
    assert [word for word in words if word not in message] == []
    assert len(message) < 2_000


def test_the_next_call_of_an_error_works(caller: Caller) -> None:
    for tool, arguments in (("kwiki_read", {"id": "hardware/tcgen5"}), ("ncu_summary", {"report": "pyton.ncu-rep"})):
        following = caller.error(tool, **arguments).rsplit("Next: ", 1)[1]
        assert caller.again(following)


def test_no_answer_is_larger_than_its_budget(memory: Caller) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("kwiki_search", {"query": "GEMM kernel for FP8 on Hopper and Blackwell", "limit": 50}),
        ("kwiki_read", {"id": "hardware/tcgen05"}),
        ("kwiki_trace", {"id": "DeepGEMM#95", "limit": 50}),
        ("ncu_summary", {"report": "python.ncu-rep", "limit": 50}),
        ("ncu_diagnose", {"report": "python.ncu-rep", "limit": 20}),
        ("ncu_hotspots", {"report": "python.ncu-rep", "limit": 50}),
        ("ncu_metrics", {"report": "python.ncu-rep", "limit": 200}),
        ("ncu_diff", {"base": "python.ncu-rep", "candidate": "python.ncu-rep", "limit": 6}),
    ]
    for tool, arguments in calls:
        assert size(memory.result(tool, **arguments)) <= CONCISE, tool
        if tool not in {"kwiki_trace", "ncu_metrics"}:
            assert size(memory.result(tool, **arguments, response_format="detailed")) <= HARD_CAP, tool


def size(result: CallToolResult) -> int:
    assert not result.is_error, text_of(result)
    return max(len(compact_json(result.structured_content)), len(text_of(result)))


def test_what_the_size_limit_cuts_is_said_and_reachable(caller: Caller) -> None:
    found = caller.data("kwiki_search", query="GEMM", limit=50)
    assert len(found["results"]) < 50 and "size limit" in found["cut"]
    assert caller.again(found["next"])["results"][0]["id"] not in [hit["id"] for hit in found["results"]]


def test_resources_are_pages_vocabulary_and_about(caller: Caller) -> None:
    uris = [str(resource.uri) for resource in caller.portal.call(caller.client.list_resources).resources]
    assert {"kwiki://vocabulary", "kwiki://about", "kwiki://page/hardware/tcgen05"} <= set(uris)
    for uri, word in (
        ("kwiki://page/hardware/tcgen05", "tcgen05"),
        ("kwiki://page/hardware%2Ftcgen05", "tcgen05"),
        ("kwiki://vocabulary", "tmem:"),
    ):
        content = caller.portal.call(caller.client.read_resource, uri).contents[0]
        assert word in content.text and content.text.startswith(fence.NOTICE) and len(content.text) <= HARD_CAP


def test_prompts_name_only_tools_that_exist_and_say_when_to_stop(caller: Caller) -> None:
    names = [prompt.name for prompt in caller.portal.call(caller.client.list_prompts).prompts]
    assert names == ["research", "profile_kernel", "optimize_kernel"]
    tools = {*WIKI, *NCU, *("lab_compile", "lab_verify", "lab_record", "lab_score", "lab_promote")}
    for name, arguments in (("research", {"topic": "x"}), ("profile_kernel", {"command": "./app"}), ("optimize_kernel", {"kernel": "k"})):
        text = caller.portal.call(caller.client.get_prompt, name, arguments).messages[0].content.text
        assert set(re.findall(r"\b(?:kwiki|ncu|lab)_\w+", text)) <= tools
        assert "top" in text.lower() and "Stop" in text


def test_what_the_server_says_of_itself_is_short_and_true(caller: Caller) -> None:
    text = caller.client.instructions
    assert text and len(text.encode()) < 2_048
    assert caller.client.server_info.name == "kernel-skills"
    assert caller.client.server_info.version == version("kernel-skills")


def test_the_answer_equals_the_command_lines(caller: Caller, places: Places) -> None:
    from kernelwiki import Wiki
    from ncu_skill import diagnose

    ids = [hit.id for hit in Wiki.open().search("TMA multicast", limit=5)]
    assert [hit["id"] for hit in caller.data("kwiki_search", query="TMA multicast", limit=5)["results"]] == ids
    document = diagnose(places.reports / "python.ncu-rep", top=3)
    found = caller.data("ncu_diagnose", report="python.ncu-rep", limit=3, response_format="detailed")
    for expected, kernel in zip(document["kernels"], found["kernels"], strict=True):
        assert [finding["id"] for finding in kernel["findings"]][:5] == [finding["id"] for finding in expected["findings"]]
        assert kernel["duration_ns"] == expected["duration_ns"]  # once rounded to six digits on the way
        values = [[item["value"] for item in finding["evidence"]] for finding in (*kernel["findings"], *expected["findings"])]
        assert values[: len(values) // 2] == values[len(values) // 2 :]

"""What clients see before they call: names, descriptions and schemas, small, stable and in the shape that clients accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from snapshots import FOLDER, published, written

from mcp_server.settings import Settings, make_settings

TOOLS = published()
WIKI = ["kwiki_search", "kwiki_read", "kwiki_trace"]
NCU = ["ncu_summary", "ncu_diagnose", "ncu_hotspots", "ncu_timeline", "ncu_diff", "ncu_metrics"]
LAB = ["lab_status", "lab_compile", "lab_score", "lab_verify", "lab_record", "lab_promote", "lab_audit"]
CONTRACT = [*WIKI, *NCU, *LAB]


def test_the_tools_are_those_of_the_contract() -> None:
    assert list(TOOLS) == CONTRACT
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_tool_looks_as_its_snapshot_says(name: str) -> None:
    expected = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written(TOOLS[name]) == expected, "changed on purpose? run: python tests/mcp_server/snapshots.py"


def test_descriptions_and_schemas_together_stay_below_12_kilobytes() -> None:
    sizes = {
        name: len(json.dumps([tool["description"], tool["inputSchema"], tool["outputSchema"]]).encode()) for name, tool in TOOLS.items()
    }
    assert sum(sizes.values()) <= 12_288, sizes


@pytest.mark.parametrize("name", CONTRACT)
def test_a_schema_has_a_plain_object_at_the_top_and_refers_to_nothing(name: str) -> None:
    for key in ("inputSchema", "outputSchema"):
        schema = TOOLS[name][key]
        assert schema["type"] == "object" and not {"anyOf", "oneOf", "allOf"} & set(schema)
        assert "$ref" not in json.dumps(schema)
    assert TOOLS[name]["inputSchema"]["additionalProperties"] is False
    assert len(TOOLS[name]["description"]) < 1_000


@pytest.mark.parametrize("name", CONTRACT)
def test_hints_tell_which_tools_write(name: str) -> None:
    hints: dict[str, Any] = TOOLS[name]["annotations"]
    assert hints["openWorldHint"] is False
    assert hints["readOnlyHint"] is (name not in {"lab_compile", "lab_score", "lab_verify", "lab_record", "lab_promote"})


def test_argument_names_are_those_of_the_contract() -> None:
    known = {"query", "id", "report", "launch", "kernel", "base", "candidate", "match", "limit", "offset", "response_format"}
    filters = {"kind", "repo", "arch", "tag", "since", "uses", "sort", "note", "lesson", "parent"}
    used = {argument for tool in TOOLS.values() for argument in tool["inputSchema"]["properties"]}
    assert known <= used <= known | filters


def test_no_lab_tool_takes_what_the_contract_of_the_workspace_fixes() -> None:
    for name in LAB:
        assert set(TOOLS[name]["inputSchema"]["properties"]) <= {"candidate", "note", "lesson", "parent"}


def test_settings_have_defaults_that_are_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_settings() == Settings(roots=(tmp_path.resolve(),), ask_client=True)
    assert make_settings([tmp_path]).ask_client is False
    assert make_settings(local=False).ask_client is False
    monkeypatch.chdir("/")
    assert make_settings().roots == ()

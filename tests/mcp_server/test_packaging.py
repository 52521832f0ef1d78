"""The files around the server: skill, plugin, marketplace and registry manifests say the same, and what they name is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SKIPPED = {".git", ".venv", ".venv-lab", ".clients", ".lab", "node_modules"}
VERSION = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / name).read_text(encoding="utf-8"))
    return found


def front_matter() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "SKILL.md").read_text(encoding="utf-8").split("---")[1])
    return found


def test_one_version_stands_everywhere() -> None:
    assert VERSION
    server, market = document("server.json"), document(".claude-plugin/marketplace.json")
    found = [
        document(".claude-plugin/plugin.json")["version"],
        market["metadata"]["version"],
        *(plugin["version"] for plugin in market["plugins"]),
        server["version"],
        *(package["version"] for package in server["packages"]),
        front_matter()["metadata"]["version"],
    ]
    assert set(found) == {VERSION.group(1)}


def test_the_skill_is_valid_by_the_specifications_own_validator(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("agentskills")
    if not program.exists():
        pytest.skip("skills-ref needs Python 3.11")
    folder = tmp_path / "kernel-skills"
    folder.mkdir()
    shutil.copy(ROOT / "SKILL.md", folder)
    done = subprocess.run([program, "validate", folder], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_exactly_one_skill_in_the_repository() -> None:
    found = [path for path in ROOT.rglob("SKILL.md") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    assert found == [ROOT / "SKILL.md"]


def test_the_skill_is_a_short_router_with_when_and_when_not() -> None:
    text = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "Not for:" in text and "Use when" in front_matter()["description"] and "never follow instructions" in text.lower()


def test_every_reference_says_when_to_open_it_and_is_routed_to() -> None:
    skill = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    names = {path.name for path in (ROOT / "references").glob("*.md")}
    assert {"collecting.md", "reading-a-diagnosis.md", "searching.md", "workflow.md", "lab.md"} <= names
    for name in names:
        rows = (ROOT / "references" / name).read_text(encoding="utf-8").splitlines()
        assert rows[0].startswith("# ") and rows[2].startswith("Open when ")
        assert f"references/{name}" in skill


def test_the_skill_and_the_references_name_only_tools_that_exist() -> None:
    tools = {path.stem for path in (Path(__file__).parent / "snapshots").glob("*.json")}
    for path in (ROOT / "SKILL.md", *(ROOT / "references").glob("*.md"), ROOT / "docs" / "clients.md"):
        named = set(re.findall(r"`((?:kwiki|ncu|lab)_[a-z]+)", path.read_text(encoding="utf-8")))
        assert named <= tools, path


def test_the_skill_names_only_finding_ids_and_pages_folders_that_exist() -> None:
    text = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    for kind in re.findall(r"kinds: ([a-z, ]+) and more", text)[0].split(", "):
        assert (ROOT / "corpus" / "pages" / kind.strip()).is_dir()


def test_ncu_skill_commands_of_the_skill_and_references_exist() -> None:
    from ncu_skill.cli import cli

    for path in (ROOT / "SKILL.md", *(ROOT / "references").glob("*.md")):
        named = re.findall(r"`ncu-skill ([a-z]+)", path.read_text(encoding="utf-8"))
        assert set(named) <= set(cli.commands), path


def test_kernel_lab_commands_of_the_skill_and_references_exist() -> None:
    from kernel_lab.cli import cli

    for path in (ROOT / "SKILL.md", *(ROOT / "references").glob("*.md")):
        named = re.findall(r"`kernel-lab ([a-z]+)", path.read_text(encoding="utf-8"))
        assert set(named) <= set(cli.commands), path


def test_the_plugin_starts_a_command_that_the_checkout_has() -> None:
    plugin = document(".claude-plugin/plugin.json")
    server = plugin["mcpServers"]["kernel-skills"]
    command = ROOT / server["command"].removeprefix("${CLAUDE_PLUGIN_ROOT}/")
    assert command.stat().st_mode & 0o111
    assert re.search(rf"^  {server['args'][0]}\)", command.read_text(encoding="utf-8"), flags=re.M)
    assert plugin["skills"] == ["./"] and document(".claude-plugin/marketplace.json")["plugins"][0]["name"] == plugin["name"]


def test_the_registry_entry_keeps_the_limits_of_its_schema() -> None:
    server = document("server.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", server["name"]) and len(server["description"]) <= 100
    package = server["packages"][0]
    assert package["registryType"] == "pypi" and package["identifier"] == "kernel-skills" and package["transport"] == {"type": "stdio"}
    options = {argument["name"] for argument in package["packageArguments"]}
    from mcp_server.cli import parser

    assert options <= {option for action in parser()._actions for option in action.option_strings}


def test_the_command_is_installed_by_the_distribution() -> None:
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'kernel-skills-mcp = "mcp_server.cli:main"' in scripts and '"mcp_server"' in scripts


def test_the_clients_document_holds_results_without_a_failure() -> None:
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    results = text.split("<!-- results: ./run clients -->")[1].split("<!-- end of results -->")[0]
    assert results.count("| ok |") >= 9 and "FAIL" not in results


def test_the_questions_of_the_agent_free_evaluation_are_thirty_or_more_and_checkable() -> None:
    questions = yaml.safe_load((ROOT / "benchmarks" / "agent" / "questions.yaml").read_text(encoding="utf-8"))
    assert len({question["id"] for question in questions}) >= 30
    assert all(question["expect"] and question["ask"].endswith("?") for question in questions)


def test_the_plain_sentences_ask_for_pages_that_exist() -> None:
    rows = yaml.safe_load((ROOT / "benchmarks" / "agent" / "pages.yaml").read_text(encoding="utf-8"))
    assert len(rows) >= 40 and len({row["query"] for row in rows}) == len(rows)
    assert [row["page"] for row in rows if not (ROOT / "corpus" / "pages" / f"{row['page']}.md").is_file()] == []

"""`./run clients`: installs pinned clients into .clients, drives each against our server from an empty home, writes docs/clients.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import (
    HERE,
    PREFIX,
    REPORT,
    ROOT,
    SERVER,
    VENV,
    AppServer,
    Bench,
    Failed,
    binary,
    expect,
    export,
    first_document,
    init_event,
    install,
    text_of,
)
from first import FirstConnections
from model import ScriptedModel

DOC = ROOT / "docs" / "clients.md"
MARKS = "<!-- results: ./run clients -->", "<!-- end of results -->"
FIRST = "first connection: fresh clone, empty home, "


@dataclass(frozen=True)
class Outcome:
    client: str
    what: str
    ok: bool
    seen: str


CALLS: list[tuple[str, dict[str, str]]] = [
    ("kwiki_search", {"query": "tail-effect", "limit": "2"}),
    ("kwiki_read", {"id": "pattern/tail-effect"}),
    ("kwiki_trace", {"id": "cutlass#2472"}),
    ("ncu_summary", {"report": REPORT}),
    ("ncu_diagnose", {"report": REPORT, "limit": "1"}),
    ("ncu_hotspots", {"report": REPORT}),
    ("ncu_timeline", {"report": REPORT}),
    ("ncu_diff", {"base": REPORT, "candidate": REPORT, "limit": "1"}),
    ("ncu_metrics", {"report": REPORT, "match": "dram__bytes*"}),
]
# Calls of the lab's tools; the second column is a refusal that is right (no verdict yet, or no torch on this machine).
LAB_CALLS: list[tuple[str, dict[str, str], str]] = [
    ("lab_status", {}, ""),
    ("lab_compile", {"candidate": "solution.json"}, ""),
    ("lab_record", {"candidate": "solution.json", "note": "the baseline again"}, ""),
    ("lab_score", {"candidate": "solution.json"}, "torch"),
    ("lab_verify", {"candidate": "solution.json"}, "torch"),
    ("lab_promote", {"candidate": "solution.json"}, "cannot be promoted"),
    ("lab_audit", {}, ""),
]


# ---- inspector --------------------------------------------------------------------------------


def inspector(bench: Bench, new: FirstConnections) -> Iterator[tuple[str, Callable[[], str]]]:
    home = bench.fresh_home("inspector")
    server: list[str | Path] = [binary("mcp-inspector"), "--cli", SERVER]
    lab: list[str | Path] = ["--lab", bench.lab]
    environment = ["-e", f"KWIKI_HOME={bench.data}", "-e", f"KERNEL_LAB_HOME={bench.base / 'ledgers'}"]

    def ask(*words: str) -> dict[str, Any]:
        return first_document(bench.run([*server, *lab, *environment, *words], home))

    def listing() -> str:
        tools = [tool["name"] for tool in ask("--method", "tools/list")["tools"]]
        expect(set(tools) >= {name for name, _ in CALLS}, tools)
        prompts = [prompt["name"] for prompt in ask("--method", "prompts/list")["prompts"]]
        resources = len(ask("--method", "resources/list")["resources"])
        return f"{len(tools)} tools, {len(prompts)} prompts, {resources} resources"

    yield "lists tools, prompts and resources", listing

    def calling() -> str:
        calls = [*((name, arguments, "") for name, arguments in CALLS), *LAB_CALLS]
        refused = []
        for name, arguments, refusal in calls:
            words = [word for key, value in arguments.items() for word in ("--tool-arg", f"{key}={value}")]
            found = ask("--method", "tools/call", "--tool-name", name, *words)
            if refusal and refusal in text_of(found["content"]):
                refused.append(f"{name} ({refusal})")
            else:
                expect(not found.get("isError") and found.get("structuredContent"), f"{name}: {found}")
        said = f"; refused for a good reason: {', '.join(refused)}" if refused else ""
        return f"{len(calls)} tools called{said}"

    yield "calls every tool (`--cli --method tools/call`)", calling
    yield f'{FIRST}`mcp-inspector --cli "$PWD/run" mcp --method tools/call`', lambda: new.result("inspector")


# ---- Claude Code ------------------------------------------------------------------------------


def claude(bench: Bench, new: FirstConnections) -> Iterator[tuple[str, Callable[[], str]]]:
    home = bench.fresh_home("claude")
    program = binary("claude")

    def add_and_list() -> str:
        bench.run([program, "mcp", "add", "kernel-skills", "--scope", "user", "--", SERVER], home)
        text = bench.run([program, "mcp", "list"], home)
        expect("Connected" in text and "kernel-skills" in text, text)
        return next(line for line in text.splitlines() if "Connected" in line).replace(str(SERVER), "kernel-skills-mcp").strip()

    yield "`claude mcp add`, `claude mcp list`", add_and_list

    def session() -> str:
        bench.run([VENV / "kwiki", "skill", "install", "--client", "claude"], home)
        servers = {"mcpServers": {"kernel-skills": {"command": str(SERVER), "env": {"KWIKI_HOME": str(bench.data)}}}}
        (home / "mcp.json").write_text(json.dumps(servers), encoding="utf-8")
        first = init_event(bench, home, ScriptedModel([], "hello"), "--strict-mcp-config", "--mcp-config", str(home / "mcp.json"))
        tools = [name for name in first["tools"] if name.startswith(PREFIX)]
        prompts = [name for name in first["slash_commands"] if name.startswith(PREFIX)]
        expect(len(tools) == len(CALLS) and len(prompts) == 3 and "kernel-skills" in first["skills"], first)
        return f"init event: {len(tools)} tools, {len(prompts)} prompts, skill kernel-skills, server {first['mcp_servers'][0]['status']}"

    yield "a session's init event", session

    def linked() -> str:
        other = bench.fresh_home("claude-link")
        (other / ".claude" / "skills").mkdir(parents=True)
        (other / ".claude" / "skills" / "kernel-skills").symlink_to(ROOT)
        text = bench.run([program, "mcp", "list"], other)
        expect("plugin:kernel-skills:kernel-skills" in text and "Connected" in text, text)
        first = init_event(bench, other, ScriptedModel([], "hello"))
        expect("kernel-skills" in first["skills"], first["skills"])
        return "the link alone brings the skill and a connected server"

    yield "`ln -s` of the checkout into an empty home", linked

    def turn() -> str:
        plan = [
            ("kwiki_search", {"query": "tail-effect", "limit": 3}),
            ("kwiki_read", {"id": "pattern/tail-effect"}),
            ("ncu_diagnose", {"report": REPORT, "limit": 2}),
        ]
        model = ScriptedModel([(PREFIX + name, arguments) for name, arguments in plan], "The diagnosis and its page.")
        init_event(bench, bench.fresh_home("claude-turn"), model, "--strict-mcp-config", "--mcp-config", str(home / "mcp.json"))
        results = [json.loads(text_of(result["content"])) for result in model.results()]
        expect(len(results) == 3, [str(result)[:200] for result in model.results()])
        return compared(bench, *results)

    yield "one whole turn against a scripted model: search, read, diagnose, answer", turn

    def plugin() -> str:
        text = bench.run([program, "plugin", "validate", "--strict", ROOT], home)
        expect("Validation passed" in text, text)
        return "Validation passed"

    yield "`claude plugin validate --strict`", plugin

    def marketplace() -> str:
        other = bench.fresh_home("claude-plugin")
        copy = other / "checkout"
        export(copy)
        said = bench.run([program, "plugin", "marketplace", "add", copy], other)
        said += bench.run([program, "plugin", "install", "kernel-skills@kernel-skills"], other)
        text = bench.run([program, "plugin", "details", "kernel-skills@kernel-skills"], other)
        expect("kernel-skills" in text and "Successfully" in said, said + text)
        return "added from a folder, installed, details list the skill and the server"

    yield "`claude plugin marketplace add`, `plugin install`, `plugin details`", marketplace
    yield f'{FIRST}`claude mcp add … -- "$PWD/run" mcp`, one turn', lambda: new.result("claude")


def compared(bench: Bench, search: dict[str, Any], read: dict[str, Any], diagnosis: dict[str, Any]) -> str:
    """The tool results that the model received against our own commands."""
    page = bench.ours("kwiki", "show", "pattern/tail-effect")
    expect(read["title"] == page["title"] and read["sections"] == [part["slug"] for part in page["sections"]], read["title"])
    own = bench.ours("ncu-skill", "diagnose", REPORT, "--top", "2")
    for kernel, expected in zip(diagnosis["kernels"], own["kernels"], strict=True):
        found, wanted = ([item["id"] for item in row["findings"]] for row in (kernel, expected))
        expect(found and found == wanted[: len(found)], (found, wanted))
        expect(kernel["name"] == expected["name"] and kernel["duration_ns"] == expected["duration_ns"], kernel)
    hits = bench.ours("kwiki", "search", search["query"], "--limit", "3")
    expect([hit["id"] for hit in search["results"]] == [hit["id"] for hit in hits["results"]], search)
    first = diagnosis["kernels"][0]["findings"]
    return f"3 tool results, equal to `kwiki search`, `kwiki show` and `ncu-skill diagnose` (first finding: {first[0]['id']})"


# ---- Codex ------------------------------------------------------------------------------------


def codex(bench: Bench, new: FirstConnections) -> Iterator[tuple[str, Callable[[], str]]]:
    home = bench.fresh_home("codex")
    (home / ".codex").mkdir()

    def add() -> str:
        text = bench.run([binary("codex"), "mcp", "add", "kernel-skills", "--env", f"KWIKI_HOME={bench.data}", "--", SERVER], home)
        expect("kernel-skills" in bench.run([binary("codex"), "mcp", "list"], home), text)
        bench.run([VENV / "kwiki", "skill", "install", "--client", "codex"], home)
        return "the server is in `codex mcp list`"

    yield "`codex mcp add`", add

    def app_server() -> str:
        with AppServer(bench, home) as server:
            listed = next(entry for entry in server.ask("mcpServerStatus/list", {})["data"] if entry["name"] == "kernel-skills")
            expect(len(listed["tools"]) == len(CALLS), listed["tools"])
            folders = server.ask("skills/list", {"cwds": [str(bench.project)]})["data"]
            skills = [item["name"] for folder in folders for item in folder["skills"] if "kernel-skills" in item["name"]]
            expect(len(skills) == 1, skills)
            thread = server.ask("thread/start", {"cwd": str(bench.project)})["thread"]["id"]
            for tool, arguments in CALLS:
                typed = {key: int(value) if value.isdigit() else value for key, value in arguments.items()}
                call = {"threadId": thread, "server": "kernel-skills", "tool": tool, "arguments": typed}
                found = server.ask("mcpServer/tool/call", call)
                expect(not found.get("isError") and found.get("structuredContent"), f"{tool}: {found}")
        return f"lists and calls {len(CALLS)} tools; skill {skills[0]}"

    yield "`codex app-server`: mcpServerStatus/list, skills/list, mcpServer/tool/call", app_server
    yield f'{FIRST}`codex mcp add … -- "$PWD/run" mcp`, mcpServer/tool/call', lambda: new.result("codex")


# ---- all --------------------------------------------------------------------------------------

CLIENTS = {"inspector": inspector, "claude": claude, "codex": codex}


def outcomes(bench: Bench, names: list[str]) -> Iterator[Outcome]:
    new = FirstConnections(bench, names)
    for name in names:
        for what, check in CLIENTS[name](bench, new):
            started = time.monotonic()
            try:
                seen, ok = check(), True
            except (Failed, subprocess.SubprocessError, OSError, LookupError, StopIteration, ValueError) as error:
                seen, ok = f"{type(error).__name__}: {error}", False
            print(f"{'ok  ' if ok else 'FAIL'} {name}: {what}: {seen} ({time.monotonic() - started:.1f} s)", flush=True)
            yield Outcome(name, what, ok, seen)


def write_results(rows: list[Outcome]) -> None:
    """The table of docs/clients.md; rows of clients that did not run this time stay."""
    pins = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    head = f"Clients: {', '.join(f'{name} {version}' for name, version in pins.items())}. {time.strftime('%Y-%m-%d')}."
    before, rest = DOC.read_text(encoding="utf-8").split(MARKS[0])
    kept, after = rest.split(MARKS[1])
    table = ["| client | check | result | seen |", "| --- | --- | --- | --- |"]
    for client in CLIENTS:
        written = [f"| {row.client} | {row.what} | {'ok' if row.ok else 'FAIL'} | {row.seen.replace('|', '/')[:300]} |" for row in rows]
        table += [
            line
            for line in (written if any(row.client == client for row in rows) else kept.split("\n"))
            if line.startswith(f"| {client} |")
        ]
    DOC.write_text("\n".join([before + MARKS[0], head, "", *table, MARKS[1] + after]), encoding="utf-8")


def main() -> None:
    """Run the checks; exit code 1 when one failed, 5 without Node."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", choices=[*CLIENTS, []], help="only these (default: all)")
    options = parser.parse_args()
    if not shutil.which("npm"):
        sys.exit("run clients: needs Node.js 20 or newer with npm")
    install()
    bench = Bench()
    subprocess.run([VENV / "kwiki", "search", "warm"], env=bench.environment(bench.data), check=True, capture_output=True)
    try:
        rows = list(outcomes(bench, options.clients or list(CLIENTS)))
    finally:
        shutil.rmtree(bench.base, ignore_errors=True)
    write_results(rows)
    sys.exit(0 if all(row.ok for row in rows) else 1)


if __name__ == "__main__":
    main()

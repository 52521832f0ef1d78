"""The server as a process and over HTTP: cancellation, clients that vanish or send garbage, loads, tokens, hosts, roots of clients."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_parts import ROOT, Caller, Places, stdio_server, text_of
from mcp_types import ListRootsResult, Root

from mcp_server.errors import BadSettings
from mcp_server.http import Address, make_address
from mcp_server.server import build_server
from mcp_server.settings import Settings, make_settings

TOKEN = "a-token-of-more-than-16-characters"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")


def children(pid: int | str = "self") -> dict[int, str]:
    """Child processes of `pid` with their command lines."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
    return found


def descendants(pid: int | str = "self") -> dict[int, str]:
    own = children(pid)
    return own | {key: value for child in own for key, value in descendants(child).items()}


def workers() -> set[int]:
    return {pid for pid, command in descendants().items() if "mcp_server.worker" in command}


def wait_for_end(pids: set[int], seconds: float = 20.0) -> None:
    """Returns when all of the processes are gone."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([handle], [], [], seconds)
        os.close(handle)
        assert ended, f"process {pid} is still there"


@linux
@pytest.mark.parametrize("kind", ["memory", "stdio"])
def test_a_cancelled_call_ends_its_process_and_the_server_lives(
    kind: str, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portal: Any
) -> None:
    """The first search builds the index in a worker and tells its progress; cancelled there, the worker is killed."""
    monkeypatch.setenv("KWIKI_HOME", str(tmp_path))
    fresh = Places(places.corpus, tmp_path, places.reports)
    steps: list[str] = []

    async def scenario() -> set[int]:
        server: Any = build_server(make_settings([places.reports])) if kind == "memory" else stdio_server(fresh)
        before = workers()
        async with Client(server, mode="auto" if kind == "memory" else "legacy") as client:
            with anyio.CancelScope() as scope:

                async def on_progress(done: float, total: float | None, message: str | None) -> None:
                    steps.append(str(message))
                    started.update(workers() - before)
                    scope.cancel()

                started: set[int] = set()
                await client.call_tool("kwiki_search", {"query": "gemm"}, progress_callback=on_progress)
            assert scope.cancelled_caught
            await anyio.to_thread.run_sync(wait_for_end, started)
            found = await client.call_tool("ncu_summary", {"report": "python.ncu-rep"})
            assert not found.is_error, text_of(found)
            return started

    assert len(portal.call(scenario)) == 1
    assert steps
    assert not [path for path in (tmp_path / "index").glob("*") if (path / "index.json").is_file()]


@linux
def test_the_workers_end_with_a_killed_server(places: Places) -> None:
    server = start_stdio(places)
    try:
        assert ask(server, INITIALIZE)["result"]["serverInfo"]["name"] == "kernel-skills"
        call = {"name": "ncu_summary", "arguments": {"report": "python.ncu-rep"}}
        assert not ask(server, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})["result"].get("isError")
        started = set(children(server.pid))
        assert started
    finally:
        stop(server, kill=True)
    wait_for_end(started)


def start_stdio(places: Places) -> subprocess.Popen[bytes]:
    start = stdio_server(places)
    return subprocess.Popen(
        [start.command, *start.args], env=start.env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def stop(server: subprocess.Popen[bytes], *, kill: bool = False) -> None:
    assert server.stdin and server.stdout
    if kill:
        server.kill()
    server.stdin.close()
    server.wait(timeout=20)
    server.stdout.close()


def ask(server: subprocess.Popen[bytes], message: Any) -> dict[str, Any]:
    """Sends one raw line and reads the answer to it (the one with its id)."""
    assert server.stdin and server.stdout
    line = message if isinstance(message, bytes) else json.dumps(message).encode()
    server.stdin.write(line + b"\n")
    server.stdin.flush()
    while True:
        answer: dict[str, Any] = json.loads(server.stdout.readline())
        if "method" not in answer:
            return answer


def test_garbage_a_huge_argument_and_a_foreign_path_harm_nobody(places: Places) -> None:
    server = start_stdio(places)
    try:
        ask(server, INITIALIZE)
        assert server.stdin
        server.stdin.write(b"not json\n\xff\xfe\x00garbage\n[]\n{}\n" + b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        huge = {"name": "kwiki_search", "arguments": {"query": "x" * 10_000_000}}
        answer = ask_until(server, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": huge}, 1)
        assert answer["result"]["isError"] and len(answer["result"]["content"][0]["text"]) < 2_000
        foreign = {"name": "ncu_summary", "arguments": {"report": "/etc/passwd"}}
        answer = ask_until(server, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": foreign}, 2)
        assert answer["result"]["isError"] and "outside the allowed folders" in answer["result"]["content"][0]["text"]
        assert "tools" in ask_until(server, {"jsonrpc": "2.0", "id": 3, "method": "tools/list"}, 3)["result"]
    finally:
        stop(server)
    assert server.returncode == 0


def ask_until(server: subprocess.Popen[bytes], message: dict[str, Any], number: int) -> dict[str, Any]:
    """The answer with this id; answers to garbage before it are passed over."""
    answer = ask(server, message)
    while answer.get("id") != number:
        assert server.stdout
        answer = json.loads(server.stdout.readline())
    return answer


def test_a_client_that_leaves_ends_the_server(places: Places) -> None:
    server = start_stdio(places)
    ask(server, INITIALIZE)
    stop(server)
    assert server.returncode == 0


HEAVY = {"numpy", "chromadb", "onnxruntime", "tokenizers", "torch", "bm25s", "matplotlib", "ncu_report"}
HEAVY |= {"kernelwiki.wiki", "ncu_skill.facade"}
LISTING = """
import sys, anyio
from mcp import Client
from mcp_server.server import build_server
from mcp_server.settings import Settings

async def main():
    async with Client(build_server(Settings((), False))) as client:
        await client.list_tools()
        await client.list_prompts()

anyio.run(main)
print(" ".join(sorted(sys.modules)))
"""


BUILDING = """
import sys
from mcp_server.server import build_server
from mcp_server.settings import Settings
build_server(Settings((), False))
print(" ".join(sorted(sys.modules)))
"""
LATER = {"mcp_server.results", "mcp_server.wiki_tools", "mcp_server.ncu_tools", "mcp_server.prompts", "mcp_server.resources"}


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8", cwd=ROOT).stdout


def test_nothing_heavy_is_loaded_before_the_first_call() -> None:
    loaded = set(python(LISTING).split())
    assert "mcp" in loaded
    assert not loaded & HEAVY


def test_the_answer_to_initialize_waits_for_no_tool_to_be_made() -> None:
    assert not set(python(BUILDING).split()) & LATER


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_not_even_the_sdk(option: str) -> None:
    code = f"import sys\nfrom mcp_server.cli import main\ntry:\n main(['{option}'])\nfinally:\n print('mcp' in sys.modules)"
    assert python(code).strip().endswith("False")


# ---- roots of the client ----------------------------------------------------------------------


def roots_scenario(portal: Any, settings: Settings, report: Path, offered: Path | None, mode: str) -> Any:
    async def offer(context: Any) -> ListRootsResult:
        assert offered
        return ListRootsResult(roots=[Root(uri=offered.as_uri())])

    async def scenario() -> Any:
        async with Client(build_server(settings), mode=mode, list_roots_callback=offer if offered else None) as client:
            return await client.call_tool("ncu_summary", {"report": str(report)})

    return portal.call(scenario)


def test_a_client_may_open_its_own_roots_when_none_were_set(portal: Any, places: Places, tmp_path: Path) -> None:
    report = places.reports / "range.ncu-rep"
    settings = Settings(roots=(tmp_path,), ask_client=True)
    assert roots_scenario(portal, settings, report, None, "legacy").is_error
    assert roots_scenario(portal, settings, report, tmp_path, "legacy").is_error
    assert not roots_scenario(portal, settings, report, places.reports, "legacy").is_error
    assert roots_scenario(portal, Settings(roots=(tmp_path,), ask_client=False), report, places.reports, "legacy").is_error
    assert roots_scenario(portal, settings, report, Path("/"), "legacy").is_error


# ---- HTTP -------------------------------------------------------------------------------------


@contextmanager
def http_server(places: Places, *options: str, **settings: str) -> Iterator[str]:
    """`kernel-skills-mcp --http`, and the address that it prints."""
    environment = {**os.environ, **places.environment, **settings}
    command = [sys.executable, "-m", "mcp_server.cli", "--root", str(places.reports), *options]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE)
    assert process.stderr
    try:
        line = process.stderr.readline().decode()
        assert "serving http://" in line, line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stderr.close()


def test_forty_concurrent_calls_over_http(places: Places, memory: Caller, portal: Any) -> None:
    memory.data("kwiki_search", query="warm")  # the index is built
    calls = [("kwiki_search", {"query": f"GEMM {number}"}) for number in range(20)]
    calls += [("kwiki_read", {"id": "hardware/tcgen05"})] * 10 + [("ncu_summary", {"report": "range.ncu-rep"})] * 10
    errors: list[str] = []

    async def scenario(url: str) -> None:
        async def one(tool: str, arguments: dict[str, Any]) -> None:
            async with Client(streamable_http_client(url, http_client=http)) as client:
                found = await client.call_tool(tool, arguments)
                if found.is_error or not found.structured_content:
                    errors.append(text_of(found))

        # Forty sessions over one pool of connections: a client of its own would read all certificates of the machine, for plain HTTP.
        http = httpx2.AsyncClient(verify=False, timeout=120)
        async with http, anyio.create_task_group() as group:
            for tool, arguments in calls:
                group.start_soon(one, tool, arguments)

    with http_server(places, "--http", "0") as url:
        portal.call(scenario, url)
    assert errors == []


def test_http_checks_host_and_origin(places: Places) -> None:
    with http_server(places, "--http", "0") as url:
        headers = {"accept": "application/json, text/event-stream"}
        assert httpx.post(url, json=INITIALIZE, headers=headers).status_code == 200
        assert httpx.post(url, json=INITIALIZE, headers={**headers, "host": "evil.example"}).status_code == 421
        assert httpx.post(url, json=INITIALIZE, headers={**headers, "origin": "https://evil.example"}).status_code == 403
        assert httpx.post(url, json=INITIALIZE, headers={**headers, "origin": url.removesuffix("/mcp")}).status_code == 200
        assert httpx.post(url, content=b"x" * (2 << 20), headers={**headers, "content-type": "application/json"}).status_code == 413
        assert httpx.post(url, content=b"garbage", headers={**headers, "content-type": "application/json"}).status_code == 400
        drop_connection(url)
        assert httpx.post(url, json=INITIALIZE, headers=headers).status_code == 200


def drop_connection(url: str) -> None:
    """A client that disconnects in the middle of its request."""
    host, port = url.removeprefix("http://").removesuffix("/mcp").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")


def test_a_token_is_asked_for_when_one_is_set(places: Places, portal: Any) -> None:
    with http_server(places, "--http", "0", KERNEL_SKILLS_TOKEN=TOKEN) as url:
        headers = {"accept": "application/json, text/event-stream"}
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": f"Bearer {TOKEN}x"}):
            assert httpx.post(url, json=INITIALIZE, headers={**headers, **wrong}).status_code == 401

        async def scenario() -> int:
            http = httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"})
            async with http, Client(streamable_http_client(url, http_client=http)) as client:
                return len((await client.list_tools()).tools)

        assert portal.call(scenario) == 9


@pytest.mark.parametrize(
    ("spec", "environment", "words"),
    [
        ("0.0.0.0:8765", {}, "token is required"),
        ("[::]:8765", {}, "token is required"),
        ("example.org:8765", {}, "token is required"),
        ("10.0.0.1:8765", {"KERNEL_SKILLS_TOKEN": "short"}, "shorter than 16"),
        ("eight", {}, "write PORT"),
        ("70000", {}, "write PORT"),
    ],
)
def test_an_address_that_is_not_safe_is_refused(spec: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        make_address(spec, None, environment)


def test_a_good_address_answers_only_its_own_hosts(tmp_path: Path) -> None:
    assert make_address("8765", None, {}) == Address("127.0.0.1", 8765, "")
    assert make_address("[::1]:8765", None, {}).host == "::1"
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    address = make_address("10.0.0.1:8765", str(file), {}, hosts=["gpu.example:8765"])
    assert address.token == TOKEN
    hosts, origins = address.accepted()
    assert "10.0.0.1:8765" in hosts and "gpu.example:8765" in hosts and "http://10.0.0.1:8765" not in origins


def test_start_errors_are_one_line_and_exit_code_2(places: Places) -> None:
    for options in (
        ("--http", "0.0.0.0:1"),
        ("--root", "/no/such/folder"),
        ("--lab", "/no/such/folder"),
        ("--token-file", "/nope", "--http", "1"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "mcp_server.cli", *options], capture_output=True, cwd=ROOT, encoding="utf-8", check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith("kernel-skills-mcp: ") and done.stderr.count("\n") == 1


@linux
def test_three_hundred_calls_over_stdio_leave_the_memory_flat(callers: Any) -> None:
    caller: Caller = callers("stdio")
    servers = [pid for pid, command in descendants().items() if "mcp_server.cli" in command and "--http" not in command]

    def ask_many(count: int) -> None:
        for number in range(count):
            if number % 3:
                caller.data("kwiki_search", query=f"tcgen05 {number % 20}")
            else:
                caller.data("kwiki_read", id="hardware/tma")

    ask_many(100)
    before = sum(map(resident, servers))
    ask_many(300)
    assert sum(map(resident, servers)) - before < 12 << 20


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

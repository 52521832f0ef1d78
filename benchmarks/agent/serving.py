"""Serving figures: start-up beside an empty SDK server, warm search, 1,000 sequential calls, 40 concurrent ones, memory."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EMPTY = "from mcp.server import MCPServer; MCPServer('empty').run('stdio')"
OURS = "from mcp_server.cli import main; main([])"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


def start_ms(code: str) -> tuple[float, float]:
    """Milliseconds from the start of a process to its answer to initialize, and its processor time in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    assert b"serverInfo" in process.stdout.readline()
    elapsed = 1000 * (time.perf_counter() - started)
    process.stdin.close()
    process.wait()
    process.stdout.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def start_up(rounds: int) -> str:
    """Both servers in turn, so that noise of the machine hits both."""
    pairs = [(start_ms(EMPTY), start_ms(OURS)) for _ in range(rounds)]
    empty, ours = (median(pair[place][0] for pair in pairs) for place in (0, 1))
    wall, work = (median(mine[what] / other[what] for other, mine in pairs) for what in (0, 1))
    seen = f"{ours:.0f} ms, empty SDK server {empty:.0f} ms, ratio {wall:.2f}; of processor time {work:.2f}"
    return f"| start to initialize, {rounds} rounds side by side | {seen} | ≤ 1.2 |"


def resident_mib(pids: list[int]) -> float:
    """Resident memory of processes in MiB."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def servers() -> list[int]:
    """Our server processes among the children of this one."""
    tasks = Path("/proc/self/task").iterdir()
    children = [int(pid) for task in tasks for pid in (task / "children").read_text(encoding="ascii").split()]
    return [pid for pid in children if "mcp_server" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")]


QUERIES = [
    "tcgen05 TMEM epilogue",
    "tail-effect",
    "FP8 grouped GEMM",
    "setmaxnreg warp specialization",
    "paged attention decode",
    "NVFP4 scale layout",
]


async def sequential(calls: int) -> list[str]:
    """Calls one after the other over stdio: errors, memory, and the latency of a warm search beside the same search without a server.

    The two take turns, call by call, so that the load of the machine hits both.
    """
    from kernelwiki import Wiki

    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "KWIKI_HOME")}
    server = StdioServerParameters(command=sys.executable, args=["-m", "mcp_server.cli"], env=environment, cwd=ROOT)
    pairs: list[tuple[float, float]] = []
    errors = 0
    wiki = Wiki.open()
    async with Client(server) as client:
        for query in QUERIES * 5:
            await client.call_tool("kwiki_search", {"query": query})
            wiki.answer(query, limit=8)
        before = resident_mib(servers())
        for number in range(calls):
            tool, arguments = _call(number)
            started = time.perf_counter()
            found = await client.call_tool(tool, arguments)
            served = time.perf_counter()
            errors += bool(found.is_error)
            if tool == "kwiki_search":
                wiki.answer(arguments["query"], limit=8)
                pairs.append((1000 * (served - started), 1000 * (time.perf_counter() - served)))
        after = resident_mib(servers())
    (ours, worst), (alone, alone_worst) = (spread([pair[place] for pair in pairs]) for place in (0, 1))
    ratio = median(mine / other for mine, other in pairs)
    added = median(mine - other for mine, other in pairs)
    latency = f"median {ours:.1f} ms, 95 % below {worst:.1f} ms; `Wiki.answer` in turn {alone:.1f} and {alone_worst:.1f} ms"
    return [
        f"| warm `kwiki_search` over stdio, {len(pairs)} calls | {latency}; ratio {ratio:.2f}, {added:+.1f} ms | ≤ 30 ms |",
        f"| {calls} sequential calls over stdio | {errors} errors, resident memory {before:.0f} → {after:.0f} MiB | 0 errors, flat |",
    ]


def spread(times: list[float]) -> tuple[float, float]:
    """Median, and the value that 95 % are below."""
    return median(times), sorted(times)[int(0.95 * len(times))]


def _call(number: int) -> tuple[str, dict[str, Any]]:
    if number % 3 == 0:
        return "kwiki_read", {"id": "hardware/tcgen05"}
    return "kwiki_search", {"query": f"{QUERIES[number % len(QUERIES)]} {number % 7}"}


async def concurrent(calls: int) -> str:
    """Clients at once over HTTP, four rounds."""
    command = [sys.executable, "-m", "mcp_server.cli", "--http", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    assert process.stderr
    url = process.stderr.readline().decode().split()[-1]
    errors: list[str] = []

    async def one(number: int) -> None:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            tool, arguments = _call(number)
            found = await client.call_tool(tool, arguments)
            errors.extend(["error"] if found.is_error else [])

    try:
        memory, times = [], []
        for _ in range(4):
            started = time.perf_counter()
            http = httpx2.AsyncClient(verify=False, timeout=300)  # one pool: forty clients would each read all certificates of the machine
            async with http, anyio.create_task_group() as group:
                for number in range(calls):
                    group.start_soon(one, number)
            times.append(time.perf_counter() - started)
            memory.append(resident_mib([process.pid]))
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
    spread = f"{memory[1]:.0f} → {memory[-1]:.0f} MiB after rounds 2 and 4"
    seen = f"{len(errors)} errors, {median(times):.1f} s a round, {spread}"
    return f"| {calls} concurrent calls over HTTP, a client each, 4 rounds | {seen} | 0 errors, flat |"


def main() -> None:
    """Measure and print; --write writes SERVING.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="write SERVING.md")
    options = parser.parse_args()
    steps: list[Callable[[], list[str]]] = [
        lambda: [start_up(options.rounds)],
        lambda: anyio.run(sequential, options.calls),
        lambda: [anyio.run(concurrent, 40)],
    ]
    rows, load = [], os.getloadavg()[0]
    for step in steps:
        found = step()
        print("\n".join(found), flush=True)
        rows += found
    head = [
        "# Serving",
        "",
        "Made by `python benchmarks/agent/serving.py --write` on two cores that other work shared; ratios are firmer than times.",
        f"Load average of the two cores at the start and end of this run: {load:.1f}, {os.getloadavg()[0]:.1f}.",
        "",
        "| what | seen | goal |",
        "| --- | --- | --- |",
    ]
    if options.write:
        (HERE / "SERVING.md").write_text("\n".join([*head, *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()

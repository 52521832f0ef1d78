"""Snapshots: what a client sees of each tool, and what a first start answers. Written by `python tests/mcp_server/snapshots.py`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from mcp_server.first_answers import ANSWERS
from mcp_server.server import build_server
from mcp_server.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "snapshots"
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


def published() -> dict[str, dict[str, Any]]:
    """Every tool with the lab on, as clients get it, in the order of the list."""

    async def ask() -> list[Any]:
        settings = Settings(roots=(), ask_client=False, toolsets=("wiki", "ncu", "lab"), lab=Path("/nowhere"))
        async with Client(build_server(settings)) as client:
            return list((await client.list_tools()).tools)

    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in anyio.run(ask)}


def written(tool: dict[str, Any]) -> str:
    return json.dumps(tool, indent=1, ensure_ascii=False) + "\n"


def greeting(version: str) -> dict[str, Any]:
    """The parameters of `initialize`."""
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "snapshots", "version": "1"}}


def said(requests: list[tuple[str, dict[str, Any]]], *options: str) -> list[dict[str, Any]]:
    """What the real server answers to each request, on its wire."""
    command = [sys.executable, "-m", "mcp_server.cli", *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin and server.stdout
        answers = []
        for number, (method, params) in enumerate(requests):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")
            server.stdin.flush()
            answer = json.loads(server.stdout.readline())
            assert answer.pop("id") == number and answer.pop("jsonrpc") == "2.0"
            answers.append(answer)
        server.stdin.close()
    return answers


def first_answers() -> dict[str, Any]:
    """What `mcp_server/first_answers.json` holds: versions, the answer to `initialize` without one, and the lists with every toolset on.

    Pages are left out: a first start reads their names itself.
    """
    with tempfile.TemporaryDirectory() as lab:
        requests = [("initialize", greeting(HANDSHAKE_PROTOCOL_VERSIONS[-1])), *((method, {}) for method in LISTS)]
        initialize, *lists = [answer["result"] for answer in said(requests, "--lab", lab)]
    del initialize["protocolVersion"]
    found = dict(zip(LISTS, lists, strict=True))
    resources = found["resources/list"]["resources"]
    found["resources/list"] = {"resources": [row for row in resources if not row["uri"].startswith("kwiki://page/")]}
    return {"versions": HANDSHAKE_PROTOCOL_VERSIONS, "initialize": initialize, "lists": found}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, tool in published().items():
        (FOLDER / f"{name}.json").write_text(written(tool), encoding="utf-8")
    ANSWERS.write_text(written(first_answers()), encoding="utf-8")

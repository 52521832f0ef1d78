"""Schema snapshots: what a client sees of each tool. Run `python tests/mcp_server/snapshots.py` after a change on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from mcp_server.server import build_server
from mcp_server.settings import Settings

FOLDER = Path(__file__).parent / "snapshots"


def published() -> dict[str, dict[str, Any]]:
    """Every tool with the lab on, as clients get it, in the order of the list."""

    async def ask() -> list[Any]:
        settings = Settings(roots=(), ask_client=False, toolsets=("wiki", "ncu", "lab"), lab=Path("/nowhere"))
        async with Client(build_server(settings)) as client:
            return list((await client.list_tools()).tools)

    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in anyio.run(ask)}


def written(tool: dict[str, Any]) -> str:
    return json.dumps(tool, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, tool in published().items():
        (FOLDER / f"{name}.json").write_text(written(tool), encoding="utf-8")

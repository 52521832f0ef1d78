"""First answers: what the server says before it opens anything, for a first start, which has no server yet.

first_answers.json holds it, as the real server said it with every toolset on (`python tests/mcp_server/snapshots.py`); a test compares.
Runs on a plain Python 3.10 with nothing installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.home import corpus_folder

ANSWERS = Path(__file__).with_name("first_answers.json")
ENVELOPE = "io.modelcontextprotocol/protocolVersion"  # every request without a handshake carries it
Document = dict[str, Any]


def refusal(code: int, message: str, data: str) -> Document:
    """The body of an error answer."""
    return {"error": {"code": code, "message": message, "data": data}}


INVALID = refusal(-32602, "Invalid request parameters", "")


def read_message(line: bytes) -> Document | None:
    """A request or notification; None for what the real server does not answer either: garbage, batches, ids of another type."""
    try:
        message = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return None
    if type(message.get("id", "")) not in (int, str) or not isinstance(message.get("params"), dict | None):
        return None
    return {**message, "params": message.get("params") or {}}


class Answers:
    """What the real server says before it opens anything."""

    def __init__(self, toolsets: tuple[str, ...]) -> None:
        known = json.loads(ANSWERS.read_text(encoding="utf-8"))
        self._versions: list[str] = known["versions"]
        self._initialize: Document = known["initialize"]
        self._lists: Document = known["lists"]
        prefixes = tuple({"wiki": "kwiki_"}.get(name, f"{name}_") for name in toolsets)
        self._lists["tools/list"]["tools"] = [tool for tool in self._lists["tools/list"]["tools"] if tool["name"].startswith(prefixes)]
        if "wiki" not in toolsets:
            self._lists |= {"resources/list": {"resources": []}, "resources/templates/list": {"resourceTemplates": []}}
            return
        try:
            ids = sorted(f"{path.parent.name}/{path.stem}" for path in (corpus_folder() / "pages").glob("*/*.md"))
        except CorpusUnreadable:
            del self._lists["resources/list"]  # the real server's error
        else:
            pages = [{"name": name, "uri": f"kwiki://page/{name}", "mimeType": "text/markdown"} for name in ids]
            self._lists["resources/list"]["resources"] += pages

    def to(self, method: str, params: Document, *, greeted: bool) -> Document | None:
        """The body of the answer; None when only the real server knows it."""
        if method == "server/discover":
            return refusal(-32601, "Method not found", method)
        if method == "ping":
            return {"result": {}}
        if method == "initialize":
            return self._to_initialize(params)
        meta = params.get("_meta")
        if method not in self._lists or (isinstance(meta, dict) and ENVELOPE in meta):
            return None
        good = greeted and isinstance(meta, dict | None) and isinstance(params.get("cursor"), str | None)
        return {"result": self._lists[method]} if good else INVALID

    def _to_initialize(self, params: Document) -> Document:
        """The version that the client asks for when the server speaks it, else the newest."""
        client, version = params.get("clientInfo"), params.get("protocolVersion")
        named = isinstance(client, dict) and isinstance(client.get("name"), str) and isinstance(client.get("version"), str)
        if not named or not isinstance(version, str) or not isinstance(params.get("capabilities"), dict):
            return INVALID
        return {"result": {"protocolVersion": version if version in self._versions else self._versions[-1], **self._initialize}}

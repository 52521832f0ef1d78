"""First: what a new user meets. A fresh clone with nothing set up, an empty home, and each client's one documented command, all at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import FOLDER, PREFIX, REPORT, AppServer, Bench, binary, clone, expect, first_document, init_event, text_of
from model import ScriptedModel

SECONDS = 900
TOOLS = 9
AGAIN = "Make the same call again"
# The home is empty: no index, no caches. Only what pip fetches is kept from run to run (by the first client: the others do not pass it on).
NEW: dict[str, Any] = {"KWIKI_HOME": "", "PIP_CACHE_DIR": str(FOLDER / "pip")}
SEARCH: dict[str, Any] = {"query": "tail-effect", "limit": 2}


class FirstConnections:
    """Each client's first connection to one clone. All start before its environment is there; the set-up is shared."""

    def __init__(self, bench: Bench, names: list[str]) -> None:
        self._bench, self._names, self._checkout = bench, names, bench.base / "first" / "kernel-skills"
        self._found: dict[str, Future[str]] = {}

    def result(self, name: str) -> str:
        """What this client saw. The first question starts all of them."""
        if not self._found:
            clone(self._checkout)
            pool = ThreadPoolExecutor(len(CLIENTS))
            for client in [name for name in CLIENTS if name in self._names]:
                self._found[client] = pool.submit(CLIENTS[client], self)
                while not (self._checkout / ".venv.lock").exists() and not self._found[client].done():
                    time.sleep(0.1)
            pool.shutdown(wait=False)
        return self._found[name].result()

    def words(self, reached: str, moment: float, call: str, calls: int) -> str:
        """The sentence of the table; `moment` is when the client had `reached` our server."""
        begun, done = ((self._checkout / name).stat().st_mtime for name in (".venv.lock", ".venv/.stamp"))
        expect(moment < done, f"{reached} {moment - done:.0f} s after the end of the set-up")
        told = f"; told {calls - 1} times to call again" if calls > 1 else ""
        return f"{reached} while the set-up ran ({done - begun:.0f} s), then the result of `{call}` by call {calls}{told}"

    def claude(self) -> str:
        bench, home = self._bench, self._bench.fresh_home("claude-first")
        bench.run([binary("claude"), "mcp", "add", "kernel-skills", "--scope", "user", "--", self._checkout / "run", "mcp"], home)
        listed = bench.run([binary("claude"), "mcp", "list"], home, **NEW)
        expect("✔ Connected" in listed, listed)
        moment = time.time()
        model = ScriptedModel([(f"{PREFIX}kwiki_search", SEARCH)], "Found.")
        init_event(bench, home, model, seconds=SECONDS, **NEW)
        results = [json.loads(text_of(result["content"])) for result in model.results()]
        expect(results and results[0]["results"][0]["id"] == "pattern/tail-effect", results)
        return self.words("connected", moment, "kwiki_search", 1)

    def codex(self) -> str:
        bench, home = self._bench, self._bench.fresh_home("codex-first")
        (home / ".codex").mkdir()
        bench.run([binary("codex"), "mcp", "add", "kernel-skills", "--", self._checkout / "run", "mcp"], home)
        with AppServer(bench, home, **NEW) as server:
            thread = server.ask("thread/start", {"cwd": str(bench.project)})["thread"]["id"]
            listed = next(entry for entry in server.ask("mcpServerStatus/list", {})["data"] if entry["name"] == "kernel-skills")
            moment = time.time()
            call = {"threadId": thread, "server": "kernel-skills", "tool": "kwiki_search", "arguments": SEARCH}
            found, calls = until_ready(lambda: server.ask("mcpServer/tool/call", call))
        expect(not found.get("isError") and found["structuredContent"]["results"], found)
        expect(len(listed["tools"]) == TOOLS, listed)
        return self.words(f"{TOOLS} tools", moment, "kwiki_search", calls)

    def inspector(self) -> str:
        home = self._bench.fresh_home("inspector-first")

        def ask(*words: str) -> dict[str, Any]:
            command: list[str | Path] = [binary("mcp-inspector"), "--cli", self._checkout / "run", "mcp", "--method", *words]
            return first_document(self._bench.run(command, home, SECONDS, **NEW))

        listed = ask("tools/list")["tools"]
        moment = time.time()
        found, calls = until_ready(lambda: ask("tools/call", "--tool-name", "ncu_summary", "--tool-arg", f"report={REPORT}"))
        expect(not found.get("isError") and found["structuredContent"]["total"], found)
        expect(len(listed) == TOOLS, listed)
        return self.words(f"{TOOLS} tools", moment, "ncu_summary", calls)


CLIENTS: dict[str, Callable[[FirstConnections], str]] = {
    "claude": FirstConnections.claude,
    "codex": FirstConnections.codex,
    "inspector": FirstConnections.inspector,
}


def until_ready(call: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """The first answer that does not ask to call again, and how many calls that took."""
    calls, last = 1, time.monotonic() + SECONDS
    while (found := call()).get("isError") and AGAIN in text_of(found["content"]) and time.monotonic() < last:
        calls += 1
    return found, calls

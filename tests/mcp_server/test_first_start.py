"""`./run mcp` in a checkout without its environment: clients are answered at once, the set-up outlives them, the real server takes over.

What stands in: the interpreter inside `.venv`, whose `pip install` would need the registry. It waits on a FIFO for the test instead, and
"installs" a server: this environment's own, or ECHO where a test asks what a server was sent. The script, its lock, its session, the
processes and the clients are real.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_parts import ROOT, Places, text_of
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from snapshots import LISTS, first_answers, greeting, said, written

from mcp_server.first_answers import ANSWERS, Answers
from mcp_server.settings import make_settings

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open") or shutil.which("bash") is None, reason="needs bash and pidfd_open")
INSTALLER = """#!/bin/sh
[ "$1" = -c ] && exit 0
echo noise of an installer
case "$*" in
  *--require-hashes*) echo $$ >> "$PWD/installs"; echo $$ > "$PWD/arrived"; read -r go < "$PWD/gate";;
  *"-e ."*) mv server .venv/bin/kernel-skills-mcp;;
esac
"""
BROKEN = '#!/bin/sh\n[ "$1" = -c ] && exit 0\nprintf "\\033[31mno such\\033[0m registry\\a\\n" >&2\nexit 1\n'
ECHO = f"""#!{sys.executable}
import json, sys
for line in sys.stdin.buffer:
    if json.loads(line).get("method") == "initialize":
        print(json.dumps({{"jsonrpc": "2.0", "method": "notifications/message", "params": {{}}}}))
        print(json.dumps({{"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": {{}}}}), flush=True)
    else:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
sys.exit(7)
"""
SECONDS = 60
REPORT = "python.ncu-rep"
SUMMARY = {"name": "ncu_summary", "arguments": {"report": REPORT}}


@dataclass
class Session:
    """One `./run mcp` and its raw lines."""

    process: subprocess.Popen[bytes]
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        assert self.process.stdin
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
            self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def raw_line(self) -> bytes:
        assert self.process.stdout
        handle = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            assert readable(handle), "no line came"
            self.buffer += os.read(handle, 1 << 20) or pytest.fail("the output ended")
        line, _, rest = bytes(self.buffer).partition(b"\n")
        self.buffer[:] = rest
        return line

    def line(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw_line())
        return found

    def answer(self, number: int | str) -> dict[str, Any]:
        """The answer with this id; what comes before it is passed over."""
        while (found := self.line()).get("id") != number or "method" in found:
            pass
        return found

    def greet(self, client: str = "test") -> None:
        hello = {**greeting("2025-06-18"), "clientInfo": {"name": client, "version": "1"}}
        self.send({"id": "hello", "method": "initialize", "params": hello}, {"method": "notifications/initialized"})
        assert self.answer("hello")["result"]["serverInfo"]["name"] == "kernel-skills"

    def hold_call(self, number: int = 1) -> None:
        """A call that waits for the set-up, which its progress shows."""
        self.send({"id": number, "method": "tools/call", "params": {**SUMMARY, "_meta": {"progressToken": number}}})
        assert self.line()["params"] == {"progressToken": number, "progress": 0, "message": "Setting up kernel-skills, 0 s"}

    def leave(self) -> int:
        """The exit code after the end of the input."""
        self.process.communicate(timeout=SECONDS)
        return self.process.returncode

    def clear(self) -> None:
        """End what a failed test left."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()


@dataclass
class Checkout:
    """A folder with our `run`, what a first start imports, and the interpreter that stands in; `gate` holds its installation back."""

    folder: Path
    arrived: int
    gate: int
    places: Places
    sessions: list[Session] = field(default_factory=list)

    def parameters(self, *options: str) -> StdioServerParameters:
        """`./run mcp` as a client starts it, in a folder of reports."""
        environment = {"PATH": str(self.folder / "tools"), "HOME": str(self.folder / "home"), **self.places.environment}
        return StdioServerParameters(command=str(self.folder / "run"), args=["mcp", *options], env=environment, cwd=self.places.reports)

    def start(self, *options: str) -> Session:
        """The same in a process group of its own, and its raw lines."""
        made = self.parameters(*options)
        return self.session([made.command, *made.args])

    def session(self, command: list[str]) -> Session:
        """Raw lines of a command in the folder of reports."""
        made, pipe = self.parameters(), subprocess.PIPE
        process = subprocess.Popen(command, cwd=made.cwd, env=made.env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self.sessions.append(Session(process))
        return self.sessions[-1]

    def serve(self, script: str) -> None:
        """What the installation brings as the server."""
        write_program(self.folder / "server", script)

    def installer(self) -> int:
        """The process that installs, once it does."""
        assert readable(self.arrived), "nothing was installed"
        return int(os.read(self.arrived, 100).split()[0])

    def release(self) -> None:
        """Let the installation go on."""
        os.write(self.gate, b"go\n")

    @property
    def installs(self) -> int:
        path = self.folder / "installs"
        return len(path.read_text(encoding="utf-8").split()) if path.exists() else 0


def readable(handle: int) -> bool:
    return bool(select.select([handle], [], [], SECONDS)[0])


def write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path, places: Places) -> Iterator[Checkout]:
    shutil.copy(ROOT / "run", tmp_path / "run")
    shutil.copytree(ROOT / "mcp_server", tmp_path / "mcp_server", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".venv/bin", "tools", "home", "kernelwiki"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "home.py"):
        shutil.copy(ROOT / "kernelwiki" / name, tmp_path / "kernelwiki")
    for name in ("pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    write_program(tmp_path / ".venv" / "bin" / "python", INSTALLER)
    write_program(tmp_path / "server", f'#!/bin/sh\nexec {Path(sys.executable).with_name("kernel-skills-mcp")} "$@"\n')
    # A PATH of its own: no uv, which would not ask the interpreter that stands in. Python is linked: it finds no package of ours.
    (tmp_path / "tools" / "python3").symlink_to(sys.executable)
    for name in ("bash", "env", "sh", "dirname", "cat", "cksum", "mv"):
        (tmp_path / "tools" / name).symlink_to(str(shutil.which(name)))
    for name in ("arrived", "gate"):
        os.mkfifo(tmp_path / name)
    handles = [os.open(tmp_path / name, os.O_RDWR) for name in ("arrived", "gate")]
    made = Checkout(tmp_path, *handles, places)
    yield made
    for session in made.sessions:
        session.clear()
    for handle in handles:
        os.close(handle)


# ---- what is answered before there is a server -------------------------------------------------


def test_the_shipped_answers_are_the_real_servers() -> None:
    assert written(first_answers()) == ANSWERS.read_text(encoding="utf-8"), "changed on purpose? run: python tests/mcp_server/snapshots.py"


@pytest.mark.parametrize("options", ["", "--toolset ncu", "--toolset wiki --lab ."])
def test_every_toolset_is_answered_for_as_the_real_server_does(options: str) -> None:
    words = options.split()
    toolsets = make_settings(toolsets=[words[1]] if "--toolset" in words else [], lab="." if "--lab" in words else None).toolsets
    answers = Answers(toolsets)
    requests: list[tuple[str, dict[str, Any]]] = [("initialize", greeting("2024-11-05")), ("ping", {}), *((name, {}) for name in LISTS)]
    assert said(requests, *words) == [answers.to(method, params, greeted=True) for method, params in requests]


def test_the_protocol_version_is_negotiated_as_the_real_server_does() -> None:
    requests = [("initialize", greeting(version)) for version in (*HANDSHAKE_PROTOCOL_VERSIONS, "2026-07-28", "1999-01-01")]
    answers = Answers(("wiki",))
    assert said(requests) == [answers.to(method, params, greeted=False) for method, params in requests]


# ---- a client that connects during the set-up --------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
def test_a_client_is_served_during_the_set_up_and_after_it(mode: Any, checkout: Checkout, portal: Any) -> None:
    async def lists(client: Client) -> list[Any]:
        found: list[Any] = [await client.list_tools(), await client.list_prompts()]
        return [*found, await client.list_resources(), await client.list_resource_templates()]

    async def scenario() -> None:
        waits = anyio.Event()
        found: list[Any] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            waits.set()

        async def call() -> None:
            found.append(await client.call_tool("ncu_summary", {"report": REPORT}, progress_callback=on_progress))

        with anyio.fail_after(SECONDS * 2):
            async with Client(checkout.parameters(), mode=mode) as client:
                before = await lists(client) if mode != "2026-07-28" else None  # no handshake: its requests wait
                async with anyio.create_task_group() as group:
                    group.start_soon(call)
                    await waits.wait()
                    assert not found
                    checkout.release()
                assert not found[0].is_error and found[0].structured_content["total"], text_of(found[0])
                assert await lists(client) == before or before is None

    portal.call(scenario)
    assert checkout.installs == 1


def test_odd_messages_are_answered_as_the_real_server_does(checkout: Checkout) -> None:
    deep = b'{"jsonrpc":"2.0","id":"deep","method":"tools/list","params":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001
    huge = {"id": "huge", "method": "tools/call", "params": {"name": "kwiki_search", "arguments": {"query": "x" * 10_000_000}}}
    listing: list[dict[str, Any]] = [
        {"id": number, "method": "tools/list", "params": params}
        for number, params in enumerate([None, {}, {"cursor": "x"}, {"cursor": 5}, {"_meta": 5}, {"_meta": None}, [], "x"])
    ]
    odd_ids = [{"id": odd, "method": "tools/list"} for odd in (None, 1.0, 1.5, True, [], {}, "", -1, 10**30)]
    messages: list[Any] = [
        {"id": "early", "method": "prompts/list"},
        {"id": "bare", "method": "initialize"},
        {"id": "old", "method": "initialize", "params": greeting("1999-01-01")},
        {"method": "notifications/initialized"},
        *(
            b"not json",
            b"",
            b"[]",
            b"{}",
            b"\xff\xfe{}\x00",
            b'[{"jsonrpc":"2.0","id":77,"method":"ping"}]',
            b'{"id":78,"method":"ping"}',
            deep,
        ),
        *listing,
        *odd_ids,
        {"id": "no", "method": "no/such/method"},
        {"id": "level", "method": "logging/setLevel"},
        {"method": "no/such/notification", "params": {"x": 1}},
        {"id": "unknown", "result": {}},
        {"id": "tool", "method": "tools/call", "params": {"name": "no_such_tool"}},
        {"id": "page", "method": "resources/read", "params": {"uri": "kwiki://no-such"}},
        {"id": "prompt", "method": "prompts/get", "params": {"name": "research", "arguments": {"topic": "x"}}},
        huge,
        {"id": "ping", "method": "ping", "params": {"x": 1}},
    ]
    real, first = checkout.session([str(Path(sys.executable).with_name("kernel-skills-mcp"))]), checkout.start()
    found = []
    for session in (real, first):
        session.send(*messages)
        if session is first:
            checkout.installer()
            checkout.release()
        answers = [session.line() for _ in range(19)]
        found.append({repr(answer["id"]): answer for answer in answers})
        assert session.leave() == 0
    assert len(found[0]) == 19 and found[1] == found[0]


def test_a_call_is_told_to_come_again_before_its_client_gives_up(checkout: Checkout) -> None:
    module = checkout.folder / "mcp_server" / "first_start.py"
    text = module.read_text(encoding="utf-8")
    assert text.count("PATIENCE_S = 30.0") == 1
    module.write_text(text.replace("PATIENCE_S = 30.0", "PATIENCE_S = 0.0"), encoding="utf-8")  # not to wait for it here
    session = checkout.start()
    session.greet()
    session.send({"id": 1, "method": "tools/call", "params": SUMMARY})
    result = session.answer(1)["result"]
    assert result["isError"] and "Make the same call again now" in result["content"][0]["text"]
    session.send({"id": 2, "method": "resources/read", "params": {"uri": "kwiki://about"}})
    assert "setting up its environment" in session.answer(2)["error"]["message"]
    checkout.installer()
    checkout.release()
    session.leave()
    patient = checkout.start()
    patient.greet("claude-code")
    patient.send({"id": 1, "method": "tools/call", "params": SUMMARY})
    assert not patient.answer(1)["result"].get("isError")
    patient.leave()


def test_a_set_up_that_fails_is_told_and_the_next_call_tries_again(checkout: Checkout) -> None:
    python = checkout.folder / ".venv" / "bin" / "python"
    write_program(python, BROKEN)
    session = checkout.start()
    session.greet()
    for number in (1, 2):  # the second starts it again, and waits for that
        session.send({"id": number, "method": "tools/call", "params": SUMMARY})
        result = session.answer(number)["result"]
        text = result["content"][0]["text"]
        assert result["isError"] and "\nno such registry\n" in text and "`./run setup`" in text
        assert text.isascii() and text.replace("\n", "").isprintable() and str(checkout.folder) not in text
    write_program(python, INSTALLER)
    session.send({"id": 3, "method": "tools/call", "params": SUMMARY})
    checkout.installer()
    checkout.release()
    assert not session.answer(3)["result"].get("isError")
    assert session.leave() == 0


# ---- the set-up itself -------------------------------------------------------------------------


def test_a_client_that_stops_waiting_does_not_stop_the_set_up(checkout: Checkout) -> None:
    impatient = checkout.start().process
    setup = os.pidfd_open(os.getsid(checkout.installer()))
    os.killpg(impatient.pid, signal.SIGKILL)
    assert impatient.communicate(timeout=SECONDS)[0] == b""
    checkout.release()
    assert readable(setup)
    os.close(setup)
    assert (checkout.folder / ".venv" / ".stamp").is_file()
    later = checkout.start("--version").process
    assert later.communicate(timeout=SECONDS)[1] == b"" and later.returncode == 0


def test_two_clients_and_a_user_at_once_share_one_set_up(checkout: Checkout) -> None:
    sessions = [checkout.start(), checkout.start()]
    for session in sessions:
        session.greet()
        session.hold_call()
    checkout.installer()
    made = checkout.parameters()
    with subprocess.Popen([made.command, "setup"], env=made.env, stderr=subprocess.DEVNULL) as user:
        checkout.release()
        for session in sessions:
            assert not session.answer(1)["result"].get("isError")
            assert session.leave() == 0
        assert user.wait(timeout=SECONDS) == 0
    assert checkout.installs == 1


def test_options_that_cannot_work_and_help_need_no_set_up(checkout: Checkout) -> None:
    for options, code, words in (
        (["--root", "/no/such/folder"], 2, b"kernel-skills-mcp: /no/such/folder: no such folder"),
        (["--toolset", "x"], 2, b"invalid choice"),
        (["--help"], 0, b""),
    ):
        process = checkout.start(*options).process
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == code and words in err
    (checkout.folder / "tools" / "python3").unlink()
    process = checkout.start().process
    assert b"Python 3.10 or newer is needed" in process.communicate(timeout=SECONDS)[1] and process.returncode == 5
    assert checkout.installs == 0


@pytest.mark.parametrize("options", [["--http", "0"], ["--version"]], ids=" ".join)
def test_a_server_without_a_waiting_client_starts_after_the_set_up(options: list[str], checkout: Checkout) -> None:
    checkout.serve('#!/bin/sh\necho "served $*"\n')
    process = checkout.start(*options).process
    checkout.installer()
    checkout.release()
    assert process.communicate(timeout=SECONDS)[0].decode() == f"served {' '.join(options)}\n" and process.returncode == 0


def test_a_failed_set_up_without_a_waiting_client_is_an_exit_code(checkout: Checkout) -> None:
    write_program(checkout.folder / ".venv" / "bin" / "python", BROKEN)
    process = checkout.start("--http", "0").process
    assert b"no such registry" in process.communicate(timeout=SECONDS)[1] and process.returncode == 5


# ---- the lines afterwards ----------------------------------------------------------------------


def test_the_server_is_sent_the_handshake_and_what_was_held_and_every_later_line(checkout: Checkout) -> None:
    checkout.serve(ECHO)
    session = checkout.start()
    session.greet()
    for number in (1, 2, 3):
        session.hold_call(number)
    cancelled = [{"method": "notifications/cancelled", "params": params} for params in ({"requestId": 2}, {})]
    session.send(*cancelled, {"id": 4, "method": "ping"})
    assert session.line() == {"jsonrpc": "2.0", "id": 4, "result": {}}
    checkout.installer()
    checkout.release()
    # ECHO's own notification first, not its answer to `initialize`; then `initialized` and the two calls that still wait.
    assert [session.line().get("method") for _ in range(2)] == ["notifications/message", "notifications/initialized"]
    assert [session.line()["id"] for _ in range(2)] == [1, 3]
    large = {"id": 5, "method": "sampling/createMessage", "params": {"text": "\u2192" * 1_500_000}}
    session.send(large, b'{ "odd" :  "spacing" }')
    assert session.line() == {"jsonrpc": "2.0", **large}
    assert session.raw_line() == b'{ "odd" :  "spacing" }'
    assert session.leave() == 7


def test_the_server_ends_when_its_client_kills_the_first_start(checkout: Checkout) -> None:
    checkout.serve(ECHO.replace("for line", "import os\nprint(json.dumps({'pid': os.getpid()}), flush=True)\nfor line"))
    session = checkout.start()
    checkout.installer()
    checkout.release()
    server = os.pidfd_open(session.line()["pid"])
    session.process.kill()
    session.leave()
    assert readable(server)
    os.close(server)

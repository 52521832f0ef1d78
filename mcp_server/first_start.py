"""First start: `./run mcp` on stdio while the checkout's environment is being set up, which takes longer than clients wait for a server.

Runs on a plain Python 3.10 with nothing installed. It answers the handshake and the lists as the real server would (first_answers), holds
everything else, and hands over when the set-up is done: the real server is told the handshake again and what was held, and from then on
every line passes both ways as it is. A client that asks whether there is a protocol without a handshake is told that there is none, and
shakes hands, as with any older server; one that uses it without asking waits.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mcp_server import fence
from mcp_server.cli import parser
from mcp_server.errors import BadSettings
from mcp_server.first_answers import Answers, Document, read_message
from mcp_server.settings import make_settings

ROOT = Path(__file__).resolve().parents[1]
SERVER = str(ROOT / ".venv" / "bin" / "kernel-skills-mcp")
LOG = ROOT / ".venv.log"
PATIENCE_S = 30.0  # the shortest time-out of a call that was seen is 60 s, and the first search builds the index in what is left of it
PATIENT = {"claude-code": 900.0}  # 2.1.329 had not given a call up after 500 s
TICK_S = 5.0
CALLS = ("tools/call", "prompts/get", "resources/read")


@dataclass(frozen=True)
class Held:
    """A line that waits for the real server."""

    line: bytes
    message: Document
    since: float = field(default_factory=time.monotonic)

    @property
    def is_call(self) -> bool:
        return "id" in self.message and self.message["method"] in CALLS

    @property
    def token(self) -> str | int | None:
        """What the client wants progress told under."""
        meta = self.message["params"].get("_meta")
        found = meta.get("progressToken") if isinstance(meta, dict) else None
        return found if type(found) in (int, str) else None


def start_set_up() -> subprocess.Popen[bytes]:
    """`./run setup` in a session of its own: it goes on when the client stops waiting and kills this process."""
    with LOG.open("ab") as log:
        command = [str(ROOT / "run"), "setup"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def end_of_log() -> str:
    """What the set-up said last, without control characters."""
    rows = fence.lines(LOG.read_bytes()[-4_000:].decode("utf-8", "replace")).strip().split("\n")
    return "\n".join(rows[-15:])[-2_000:]


class FirstStart:
    """A client's session from its first line. Events are its lines (empty: it left) and the exit codes of set-ups."""

    def __init__(self, arguments: list[str], answers: Answers) -> None:
        self._arguments, self._answers = arguments, answers
        self._events: queue.Queue[bytes | int] = queue.Queue(64)
        self._held: list[Held] = []
        self._handshake = b""
        self._patience_s = PATIENCE_S
        self._started = self._told = time.monotonic()
        self._failed = False

    def run(self) -> int:
        """The exit code, when the client or the real server is gone."""
        self._set_up()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            while True:
                event = self._next_event()
                if event == b"":
                    return 0
                if isinstance(event, bytes):
                    self._take(event)
                elif event == 0:
                    return self._hand_over()
                elif event is not None:
                    self._fail(event)
        except BrokenPipeError:
            return 0

    def _set_up(self) -> None:
        process = start_set_up()
        self._started, self._failed = time.monotonic(), False
        threading.Thread(target=lambda: self._events.put(process.wait()), daemon=True).start()

    def _read(self) -> None:
        with open(0, "rb", closefd=False) as lines:
            for line in lines:
                self._events.put(line)
        self._events.put(b"")

    def _next_event(self) -> bytes | int | None:
        """Waits TICK_S at most; then calls that wait are told so."""
        now = time.monotonic()
        if now >= self._told + TICK_S:
            self._told = now
            for held in [held for held in self._held if held.is_call]:
                self._tell(held, now)
        with suppress(queue.Empty):
            return self._events.get(timeout=max(0.0, self._told + TICK_S - now))
        return None

    def _take(self, line: bytes) -> None:
        """Answer a line, or hold it. The first call after a failure tries the set-up again."""
        message = read_message(line)
        if message is None:
            return
        method, params = message["method"], message["params"]
        answer = self._answers.to(method, params, greeted=bool(self._handshake)) if "id" in message else None
        if answer:
            self._send({"id": message["id"], **answer})
            if method == "initialize" and "result" in answer:
                self._handshake, self._patience_s = line, PATIENT.get(params["clientInfo"]["name"], PATIENCE_S)
        elif method == "notifications/cancelled":
            gone = str(params.get("requestId"))
            self._held = [held for held in self._held if "id" not in held.message or str(held.message["id"]) != gone]
        else:
            held = Held(line, message)
            self._held.append(held)
            if held.is_call:
                if self._failed:
                    self._set_up()
                self._tell(held, held.since)

    def _tell(self, held: Held, now: float) -> None:
        """Progress, where it is wanted; an answer, when the client would soon give the call up."""
        seconds = round(now - self._started)
        if now >= held.since + self._patience_s:
            self._refuse(
                held,
                f"Not ready yet: kernel-skills has been setting up its environment for {seconds} s, which usually takes 1 to 3 minutes and "
                "goes on by itself. Make the same call again now: it waits for the set-up.",
            )
        elif held.token is not None:
            step = {"progressToken": held.token, "progress": seconds, "message": f"Setting up kernel-skills, {seconds} s"}
            self._send({"method": "notifications/progress", "params": step})

    def _fail(self, code: int) -> None:
        self._failed = True
        print(f"run: the set-up failed (exit code {code}); {LOG.name} says why", file=sys.stderr, flush=True)
        text = (
            f"The set-up of kernel-skills failed (exit code {code}). In its checkout, .venv.log ends with:\n{fence.fenced(end_of_log())}\n"
            "Mend that and run `./run setup` there. The next call tries again, too."
        )
        for held in [held for held in self._held if held.is_call]:
            self._refuse(held, text)

    def _refuse(self, held: Held, text: str) -> None:
        self._held.remove(held)
        failed: Document = {"content": [{"type": "text", "text": text}], "isError": True}
        answer = {"result": failed} if held.message["method"] == "tools/call" else {"error": {"code": -32603, "message": text}}
        self._send({"id": held.message["id"], **answer})

    def _send(self, message: Document) -> None:
        self._write(json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def _write(self, line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    def _hand_over(self) -> int:
        """The real server's exit code. It ends when its input does, so it outlives neither the client nor this process."""
        server = subprocess.Popen([SERVER, *self._arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._feed, args=(server,), daemon=True).start()
        assert server.stdout
        known = bool(self._handshake)  # the server answers it before anything else, and the client has had the answer
        for line in server.stdout:
            if known and "method" not in json.loads(line):
                known = False
                continue
            self._write(line)
        code = server.wait()
        return code if code >= 0 else 128 - code

    def _feed(self, server: subprocess.Popen[bytes]) -> None:
        assert server.stdin
        with suppress(BrokenPipeError), server.stdin as to:
            to.write(b"".join([self._handshake, *(held.line for held in self._held)]))
            to.flush()
            while isinstance(line := self._events.get(), bytes) and line:
                to.write(line)
                to.flush()


def main() -> None:
    """`first_start FOLDER [server options]`: serve from FOLDER; with --http and --version, only wait for the set-up."""
    os.chdir(sys.argv[1])
    arguments = sys.argv[2:]
    options = parser().parse_args(arguments)
    try:
        settings = make_settings(options.root, options.lab, options.toolset, local=options.http is None)
    except BadSettings as error:
        print(f"kernel-skills-mcp: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"run: setting up .venv; it goes on when the client stops waiting ({LOG} says how far it is)", file=sys.stderr, flush=True)
    try:
        if options.http is None and not options.version:
            os._exit(FirstStart(arguments, Answers(settings.toolsets)).run())  # threads wait for input that may never come
        if start_set_up().wait():
            print(end_of_log(), file=sys.stderr)
            sys.exit(5)
        os.execv(SERVER, [SERVER, *arguments])
    except OSError as error:
        print(f"run: {error}", file=sys.stderr)
        sys.exit(5)
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    main()

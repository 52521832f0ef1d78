"""Bench: the pinned clients of `./run clients`, a project folder and empty homes to run them in, and how each of them is driven."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from model import ScriptedModel

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
FOLDER = ROOT / ".clients"
VENV = Path(sys.executable).parent
SERVER = VENV / "kernel-skills-mcp"
EXAMPLE = ROOT / "examples" / "lab" / "rmsnorm"
PREFIX = "mcp__kernel-skills__"
REPORT = "python.ncu-rep"
SECONDS = 240


class Failed(Exception):
    """A check that saw something else."""


def expect(condition: object, seen: object) -> None:
    if not condition:
        raise Failed(str(seen)[:600])


class Bench:
    """A project folder with a report, a prepared index, and a fresh home for every client."""

    def __init__(self) -> None:
        self.data = FOLDER / "data"
        # Outside the checkout: clients look for skills, plugins and instructions in the folders above.
        self.base = Path(tempfile.mkdtemp(prefix="kernel-skills-clients-"))
        self.project = self.base / "project"
        self.project.mkdir()
        with tarfile.open(ROOT / "tests" / "ncu_skill" / "reports" / "corpus.tar.xz") as tar:
            tar.extract(next(name for name in tar.getnames() if name.endswith(REPORT)), self.project)
        self.lab = self.base / "lab"
        baseline = next(EXAMPLE.rglob("solutions/**/*_baseline.json"))
        definition = json.loads(baseline.read_text(encoding="utf-8"))["definition"]
        words = ["--dataset", EXAMPLE, "--definition", definition, "--baseline", baseline, "--arch", "cpu"]
        self.run([VENV / "kernel-lab", "init", self.lab, *words], self.data, KERNEL_LAB_HOME=str(self.base / "ledgers"))
        shutil.copy(baseline, self.lab / "solution.json")

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """What a new user has: a path, a language and an empty home (plus the prepared index). An empty value takes a name away."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "NO_COLOR": "1"}
        found = {**kept, **own, "HOME": str(home), "KWIKI_HOME": str(self.data), **more}
        return {name: value for name, value in found.items() if value}

    def fresh_home(self, name: str) -> Path:
        home = self.base / "home" / name
        home.mkdir(parents=True)
        return home

    def run(self, command: list[str | Path], home: Path, seconds: float = SECONDS, **more: str) -> str:
        """stdout and stderr of a command in the project folder."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.project,
            env=self.environment(home, **more),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
            encoding="utf-8",
        )
        return done.stdout + done.stderr

    def ours(self, *words: str) -> dict[str, Any]:
        """The `--json` document of one of our own commands."""
        command = [str(VENV / words[0]), *words[1:], "--json"]
        done = subprocess.run(command, cwd=self.project, env=self.environment(self.data), capture_output=True, check=True, encoding="utf-8")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def binary(name: str) -> Path:
    return FOLDER / "node_modules" / ".bin" / name


def install() -> None:
    """npm install of the pinned versions, once."""
    FOLDER.mkdir(exist_ok=True)
    pins = (HERE / "package.json").read_text(encoding="utf-8")
    stamp = FOLDER / "installed.json"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == pins and all(binary(name).exists() for name in ("claude", "codex")):
        return
    (FOLDER / "package.json").write_text(pins, encoding="utf-8")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=True)
    stamp.write_text(pins, encoding="utf-8")


def init_event(
    bench: Bench, home: Path, model: ScriptedModel, *options: str, seconds: float = SECONDS, **environment: str
) -> dict[str, Any]:
    """Runs one session against the scripted model; its first line."""
    with model.serving() as address:
        text = bench.run(
            [
                *(binary("claude"), "-p", "--output-format", "stream-json", "--verbose", "--max-turns", "8"),
                *options,
                *("--allowedTools", f"{PREFIX}*", "--", f"What holds {REPORT} back?"),
            ],
            home,
            seconds,
            ANTHROPIC_BASE_URL=address,
            ANTHROPIC_API_KEY="dummy",
            **environment,
        )
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    expect(events and events[0].get("subtype") == "init", text)
    expect(events[-1].get("subtype") == "success", events[-1])
    found: dict[str, Any] = events[0]
    return found


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def first_document(text: str) -> dict[str, Any]:
    """The JSON document that the output starts with, after lines of other kinds."""
    try:
        found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    except ValueError:
        raise Failed(text[-400:]) from None
    return found


def _copied(folder: Path, *which: str) -> None:
    """Copies files of the checkout, chosen by options of `git ls-files`, without the large ones that no client reads."""
    command = ["git", "ls-files", "-z", "--exclude-standard", *which]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file() and not name.startswith(("corpus/records", "corpus/model", "tests/ncu_skill/reports")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)


def export(folder: Path) -> None:
    """The files of the checkout that git knows or would add."""
    _copied(folder, "--cached", "--others")


def clone(folder: Path) -> None:
    """A clone of the checkout, with what is not committed yet copied over it."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    _copied(folder, "--modified", "--others")


class AppServer:
    """`codex app-server` over JSON lines."""

    def __init__(self, bench: Bench, home: Path, **environment: str) -> None:
        self._number = 0
        self._process = subprocess.Popen(
            [str(binary("codex")), "app-server"],
            cwd=bench.project,
            env=bench.environment(home, **environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def __enter__(self) -> AppServer:
        client = {"name": "check", "title": "check", "version": "1"}
        self.ask("initialize", {"clientInfo": client, "capabilities": {"experimentalApi": True}})
        self._send({"jsonrpc": "2.0", "method": "initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request; notifications before it are passed over."""
        assert self._process.stdout
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._number and "method" not in message:
                expect("result" in message, message)
                found: dict[str, Any] = message["result"]
                return found
        raise Failed("codex app-server ended")

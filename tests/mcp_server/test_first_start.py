"""`./run mcp` in a checkout without its environment: the set-up outlives a client that does not wait, and stdout stays the protocol's.

What stands in: the interpreter inside `.venv`, whose `pip install` would need the registry. It waits on a FIFO for the test instead, and
"installs" a server that prints one line. The script, its lock, its session and the processes are real.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp_parts import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open") or shutil.which("bash") is None, reason="needs bash and pidfd_open")
INSTALLER = """#!/bin/sh
[ "$1" = -c ] && exit 0
echo noise of an installer
case "$*" in *--require-hashes*) echo $$ >> "$PWD/installs"; echo $$ > "$PWD/arrived"; read -r go < "$PWD/gate";; esac
printf '#!/bin/sh\\necho "{\\\\"jsonrpc\\\\": \\\\"2.0\\\\"}"\\n' > .venv/bin/kernel-skills-mcp
chmod +x .venv/bin/kernel-skills-mcp
"""
SECONDS = 30


@dataclass
class Checkout:
    """A folder with our `run`, a small project and the interpreter that stands in; `gate` holds its installation back."""

    folder: Path
    arrived: int
    gate: int

    def start(self) -> subprocess.Popen[bytes]:
        """`./run mcp` as a client starts it, in a process group of its own."""
        pipe = subprocess.PIPE
        environment = {"PATH": str(self.folder / "tools")}
        command = [self.folder / "run", "mcp"]
        return subprocess.Popen(command, cwd="/", env=environment, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)

    def installer(self) -> int:
        """The process that installs, once it does."""
        assert readable(self.arrived), "nothing was installed"
        return int(os.read(self.arrived, 100).split()[0])

    def release(self) -> None:
        """Let the installation go on."""
        os.write(self.gate, b"go\n")


def readable(handle: int) -> bool:
    return bool(select.select([handle], [], [], SECONDS)[0])


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    shutil.copy(ROOT / "run", tmp_path / "run")
    for name in ("pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(INSTALLER, encoding="utf-8")
    python.chmod(0o755)
    # A PATH of its own: no uv, which would not ask the interpreter that stands in.
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    for name in ("bash", "env", "sh", "dirname", "cat", "cksum", "tail", "chmod"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("arrived", "gate"):
        os.mkfifo(tmp_path / name)
    handles = [os.open(tmp_path / name, os.O_RDWR) for name in ("arrived", "gate")]
    yield Checkout(tmp_path, *handles)
    for handle in handles:
        os.close(handle)


def test_the_first_start_prints_nothing_but_the_protocol(checkout: Checkout) -> None:
    server = checkout.start()
    checkout.installer()
    checkout.release()
    out, err = server.communicate(timeout=SECONDS)
    assert out == b'{"jsonrpc": "2.0"}\n' and server.returncode == 0, err
    assert b"goes on when the client stops waiting" in err
    assert checkout.start().communicate(timeout=SECONDS) == (b'{"jsonrpc": "2.0"}\n', b"")


def test_a_client_that_stops_waiting_does_not_stop_the_set_up(checkout: Checkout) -> None:
    impatient = checkout.start()
    setup = os.pidfd_open(os.getsid(checkout.installer()))
    os.killpg(impatient.pid, signal.SIGKILL)
    assert impatient.communicate(timeout=SECONDS)[0] == b""
    checkout.release()
    assert readable(setup)
    os.close(setup)
    assert (checkout.folder / ".venv" / ".stamp").is_file()
    assert checkout.start().communicate(timeout=SECONDS) == (b'{"jsonrpc": "2.0"}\n', b"")


def test_two_clients_at_once_share_one_set_up(checkout: Checkout) -> None:
    servers = [checkout.start(), checkout.start()]
    checkout.installer()
    checkout.release()
    for server in servers:
        assert server.communicate(timeout=SECONDS)[0] == b'{"jsonrpc": "2.0"}\n'
    assert len((checkout.folder / "installs").read_text().split()) == 1


def test_a_set_up_that_fails_is_told_on_stderr(checkout: Checkout) -> None:
    python = checkout.folder / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "no such registry" >&2\nexit 1\n', encoding="utf-8")
    server = checkout.start()
    out, err = server.communicate(timeout=SECONDS)
    assert out == b"" and b"no such registry" in err and server.returncode == 5

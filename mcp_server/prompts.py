"""Prompts: the three stages research, profile and optimize as texts that name the right calls and when to stop."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from mcp_server.fence import quoted

if TYPE_CHECKING:
    from mcp.server import MCPServer

MAX_ARGUMENT = 2_000


@cache
def _template(name: str) -> Template:
    return Template((Path(__file__).parent / "prompts" / f"{name}.md").read_text(encoding="utf-8"))


def text(name: str, **arguments: str) -> str:
    """The prompt `name` with its arguments as quoted lines; an empty argument reads `not given`."""
    given = {key: quoted(value, MAX_ARGUMENT) if value.strip() else "not given" for key, value in arguments.items()}
    return _template(name).substitute(given)


def add_prompts(server: MCPServer[Any]) -> None:
    """Registers the prompts, in the order of the work."""

    @server.prompt(title="Research a kernel topic")
    def research(topic: str, arch: str = "") -> str:
        """Find out how others solved it, with sources, before writing code."""
        return text("research", topic=topic, arch=arch)

    @server.prompt(title="Profile a kernel")
    def profile_kernel(command: str, kernel: str = "") -> str:
        """Collect an Nsight Compute report and read what holds the kernel back."""
        return text("profile_kernel", command=command, kernel=kernel)

    @server.prompt(title="Optimize a kernel")
    def optimize_kernel(kernel: str, report: str = "", arch: str = "") -> str:
        """Research, iterate and autotune with the right calls and stop rules."""
        return text("optimize_kernel", kernel=kernel, report=report, arch=arch)

"""Producer: how a report was made (versions, command line, settings), read from the container and redacted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from ncu_skill import wire
from ncu_skill.container import Block
from ncu_skill.model import Producer

PRODUCER_TAGS = {"Nsight Compute Target": "ncu_version", "CUDA Version": "cuda_version", "CUDA Driver Version": "driver_version"}


def read_producer(data: wire.Buffer, blocks: Iterable[Block], *, redact: bool) -> Producer:
    """Facts of the session that the blocks hold together: many blocks carry only a part of them."""
    facts: dict[str, str] = {}
    created, command = 0, ""
    host: dict[str, str] = {}
    for block in blocks:
        for number, kind, a, b in wire.fields(data, *block.session):
            if number == 2 and kind == wire.VARINT:
                created = a
            elif number == 8 and kind == wire.BYTES:
                parts = {n: wire.text(data, c, d) for n, k, c, d in wire.fields(data, a, b) if k == wire.BYTES}
                facts[PRODUCER_TAGS.get(parts.get(1, ""), "")] = parts.get(2, "")
            elif number == 11 and kind == wire.BYTES:
                command = wire.text(data, a, b)
            elif number in {3, 4} and kind == wire.BYTES:
                parts = {n: wire.text(data, c, d) for n, k, c, d in wire.fields(data, a, b) if k == wire.BYTES and n < 7}
                host.update({"host_name": parts.get(5, ""), "system": parts.get(1, ""), "processor": parts.get(3, "")})
    facts.pop("", None)
    options = command_options(command)
    return Producer(
        created_unix=created,
        command_line=redact_command(command) if redact else command,
        clock_control=options.get("clock-control", "base"),
        cache_control=options.get("cache-control", "all"),
        replay_mode=options.get("replay-mode", "kernel"),
        sets=tuple(filter(None, options.get("set", "").split(","))),
        sections=tuple(filter(None, options.get("section", "").split(","))),
        host={} if redact else host,
        **facts,
    )


def command_options(command: str) -> dict[str, str]:
    """The `--name value` options of an ncu command line; repeated ones are joined with commas."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    found: dict[str, str] = {}
    at = 1
    while at < len(words) and words[at].startswith("-"):
        name, sign, value = words[at].lstrip("-").partition("=")
        if not sign and at + 1 < len(words) and not words[at + 1].startswith("-"):
            value = words[at + 1]
            at += 1
        found[name] = f"{found[name]},{value}" if name in found else value
        at += 1
    return found


def redact_command(command: str) -> str:
    """The command line with every path cut to its last part."""
    return re.sub(r"(?<![\w.-])[~.]*/(?:[^\s/]+/)*(?=[^\s/]*)", "", command)


def redact_path(path: str) -> str:
    """A source path cut to its last two parts."""
    return "/".join(path.split("/")[-2:]).lstrip("/")

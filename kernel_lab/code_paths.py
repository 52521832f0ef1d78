"""Code paths: which hardware paths compiled code uses (tcgen05, TMA, wgmma …), read from SASS or PTX by the table in code_paths.yaml."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from kernel_lab import toolchain


@cache
def path_table() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = yaml.safe_load(Path(__file__).with_name("code_paths.yaml").read_text(encoding="utf-8"))
    return found


def no_paths() -> dict[str, bool]:
    return dict.fromkeys(path_table(), False)


def resource_usage(cubin: Path, folder: Path) -> dict[str, int]:
    """Registers, stack and local memory that a cubin states, where cuobjdump is here; empty elsewhere."""
    tool = toolchain.find("cuobjdump")
    text = toolchain.run([str(tool), "-res-usage", str(cubin)], folder).text if tool else ""
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", text)
    return {"registers": int(found[1]), "stack_bytes": int(found[2]), "spill_bytes": int(found[3])} if found else {}


@cache
def _families() -> re.Pattern[str]:
    """The instruction families of the table: `tcgen05.`, `cp.`, `mma.` …"""
    stems = {stem.split(".")[0] for row in path_table().values() for stem in row["ptx"]}
    return re.compile(rf"\b(?:{'|'.join(sorted(stems))})\.")


def paths_of_cubin(cubin: Path, ptx: str, folder: Path) -> dict[str, bool]:
    """The paths in a cubin's SASS; empty where no disassembler is here.

    Code whose PTX names no instruction of these families has none of them in SASS either, and the disassembler,
    which takes 0.4 s to start, is not asked.
    """
    if ptx and not _families().search(ptx):
        return no_paths()
    tool = toolchain.find("nvdisasm") or toolchain.find("cuobjdump")
    if tool is None:
        return {}
    command = [str(tool), "-c", "-ndf", str(cubin)] if tool.name == "nvdisasm" else [str(tool), "-sass", str(cubin)]
    return sass_paths(toolchain.run(command, folder).text)


def sass_paths(text: str) -> dict[str, bool]:
    opcodes = {
        match.split(".")[0]
        for match in re.findall(r"^\s*(?:/\*[0-9a-f]{4,}\*/)?\s*(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]+(?:\.[A-Z0-9_.]+)?)\b", text, re.M)
    }
    return {name: bool(opcodes & set(row["sass"])) for name, row in path_table().items()}


def ptx_paths(text: str) -> dict[str, bool]:
    return {name: any(stem in text for stem in row["ptx"]) for name, row in path_table().items()}

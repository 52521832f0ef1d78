"""Make a lab candidate's Nsight Compute report fit to ship: `python benchmarks/lab/neutral.py REPORT TARGET OLD=NEW…`.

Drops host facts, PM series, the prose of the profiler's rules and the text of library sources. Of paths of the machine the last name
stays, in front of it stands "/./." of the same length, so that lengths and the code's line table stay as they are; OLD=NEW (of equal
length) goes first, for folders that have a telling name.
"""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "ncu"))
from strip import encode, rewritten, strip

from ncu_skill import container, wire

MODULE_SOURCES, RULES = 8, 19  # fields: imported source files of a module; rule texts of a kernel result
PRIVATE = re.compile(rb"/(?:tmp|work|root|home|opt|mnt|srv|var)/[\w./-]+")


def _own_sources(data: bytes, start: int, end: int) -> bytes:
    """Imported source files without those of installed packages."""
    found = b""
    for number, kind, a, b in wire.fields(data, start, end):
        if kind == wire.BYTES and b"site-packages" not in data[a : a + 200]:
            found += encode(number << 3 | kind) + encode(b - a) + data[a:b]
    return found


def _item(data: bytes, kind: str, start: int, end: int) -> bytes:
    if kind == "kernel":
        return rewritten(data, start, end, {RULES}, {})
    found = rewritten(data, start, end, {MODULE_SOURCES}, {})
    for number, _, a, b in wire.fields(data, start, end):
        if number == MODULE_SOURCES:
            kept = _own_sources(data, a, b)
            found += encode(number << 3 | wire.BYTES) + encode(len(kept)) + kept
    return found


def neutral(path: Path, target: Path, replaced: dict[str, str]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(strip(path, (), [False]))
    data = target.read_bytes()
    found = [data[: 8 + struct.unpack_from("<I", data, 4)[0]]]
    for block in container.blocks(data):
        bodies = [_item(data, item.kind, item.start, item.end) for item in block.items]
        payload = b"".join(struct.pack("<I", len(body)) + body for body in bodies)
        header = rewritten(data, *block.header, {5}, {}) + encode(5 << 3) + encode(len(payload))
        found += [struct.pack("<I", len(header)), header, payload]
    whole = b"".join(found)
    for old, new in replaced.items():
        assert len(old) == len(new), f"{old!r} and {new!r} differ in length"
        whole = whole.replace(old.encode(), new.encode())
    target.write_bytes(PRIVATE.sub(_blanked, whole))


def _blanked(match: re.Match[bytes]) -> bytes:
    """A path of the same length that says nothing but its last name."""
    folder, _, name = match.group(0).rstrip(b"/").rpartition(b"/")
    return (b"/." * len(folder))[: len(folder)] + b"/" + name + b"/" * (len(match.group(0)) - len(folder) - 1 - len(name))


if __name__ == "__main__":
    neutral(Path(sys.argv[1]), Path(sys.argv[2]), dict(word.split("=", 1) for word in sys.argv[3:]))

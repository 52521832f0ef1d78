"""Roots: the folders that a client may name files in. No link and no `..` leads out of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
from mcp.shared.exceptions import MCPError

from mcp_server.errors import PathRefused
from mcp_server.fence import line

MAX_PATH = 4_096
CLIENT_SECONDS = 5.0
SUFFIXES = (".ncu-rep", ".ncu-repz")
_MAX_WALK = 2_000


async def allowed_file(given: str, folders: tuple[Path, ...], context: Any, *, ask_client: bool) -> Path:
    """The real path of the regular file `given`, below one of `folders` or (with `ask_client`) of the client's roots.

    A relative path is looked up in each root in turn. Raises PathRefused with files that would do.
    """
    try:
        return find(given, folders)
    except PathRefused:
        more = await client_roots(context) if ask_client else ()
        if not more:
            raise
        return find(given, (*folders, *more))


def find(given: str, folders: tuple[Path, ...]) -> Path:
    """The real path of `given` below one of `folders`. Raises PathRefused."""
    if not given or len(given) > MAX_PATH or "\0" in given:
        raise PathRefused(f"a path of 1 to {MAX_PATH} characters is needed, without NUL.", nearest_reports(folders, ""))
    outside = False
    for folder in folders:
        path = Path(os.path.realpath(folder / given))
        inside = path.is_relative_to(folder)
        outside = outside or not inside
        if inside and path.is_file():
            return path
    reason = "is outside the allowed folders" if outside else "is no file there"
    raise PathRefused(
        f"{line(given, 200)} {reason}. Allowed: files below {', '.join(str(folder) for folder in folders) or 'no folder'} "
        "(start the server with --root DIR for another one).",
        nearest_reports(folders, Path(given).name),
    )


def nearest_reports(folders: Iterable[Path], wanted: str, limit: int = 5) -> tuple[str, ...]:
    """Reports below the roots, as a client may name them, those whose name is most like `wanted` first; looks at the first entries only."""
    from difflib import SequenceMatcher

    def likeness(path: str) -> float:
        return SequenceMatcher(None, wanted[-200:].lower(), Path(path).name[-200:].lower()).ratio()

    found = [str(path.relative_to(folder)) for folder in folders for path in _walk(folder) if path.name.endswith(SUFFIXES)]
    return tuple(sorted(found, key=lambda path: (-likeness(path), path)))[:limit]


def _walk(folder: Path) -> Iterator[Path]:
    seen = 0
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")[:50]
        for name in sorted(files):
            yield Path(root) / name
        seen += len(files) + len(folders)
        if seen > _MAX_WALK:
            return


async def client_roots(context: Any) -> tuple[Path, ...]:
    """The folders that the client offers (`roots/list`), resolved; none when it has no roots or does not answer in time."""
    from mcp_types import ListRootsRequest, ListRootsResult

    capabilities = context.client_capabilities
    if capabilities is None or capabilities.roots is None:
        return ()
    try:
        with anyio.fail_after(CLIENT_SECONDS):
            answer = await context.session.send_request(ListRootsRequest(), ListRootsResult)
    except (TimeoutError, MCPError):
        return ()
    return tuple(folder for root in answer.roots for folder in _folder(str(root.uri)))


def _folder(uri: str) -> Iterator[Path]:
    """The folder of a `file:` address, if it is one and not the whole file system."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        path = Path(os.path.realpath(unquote(re.sub(r"^/([A-Za-z]:)", r"\1", parts.path))))
        if path.is_dir() and path != Path(path.anchor):
            yield path

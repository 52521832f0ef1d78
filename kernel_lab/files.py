"""Files and hashes: canonical JSON, sha256, and writes that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from kernel_lab.errors import NotFound, Unreadable


def canonical(value: Any) -> bytes:
    """The one byte string that stands for a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash of a file of any size, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write beside, flush to disk, rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """The JSON document in `path`. Raises NotFound or Unreadable with the path in the message."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"{path} is not a JSON document: {error}") from error


def source_digest(folder: Path) -> str:
    """One hash over every Python, YAML and CUDA source below `folder`, paths included."""
    kinds = {".py", ".yaml", ".cu", ".cuh", ".h"}
    rows = [[path.relative_to(folder).as_posix(), sha256_file(path)] for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    return sha256(canonical(rows))

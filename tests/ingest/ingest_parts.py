"""Pull requests and a diff of our own writing, and where things are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "prs"
RECORDS = ROOT / "corpus" / "records"
SHA = "0123456789abcdef0123456789abcdef01234567"

# Our own lines: 5 files, a rename, a hunk that starts late. Line numbers are asserted by test_evidence.py.
PATCH = (Path(__file__).parent / "fixture.diff").read_text(encoding="utf-8")
PATHS = ("csrc/gemm_tma.cu", "include/tiles.hpp", "kernels/block_scaled.py", "kernels/triton_softmax.py", "docs/setup.sh")


def pull_request(number: int = 7, **changes: Any) -> dict[str, Any]:
    """One pull request of the shape of `shared/prs` that the policy keeps; `changes` replace or (None) stay as null."""
    return {
        "repo": "acme/fastkernels",
        "number": number,
        "url": f"https://github.com/acme/fastkernels/pull/{number}",
        "title": "Add a tcgen05 GEMM kernel",
        "body": "Calls launch_gemm_persistent with tcgen05 block scales.",
        "merged_at": "2026-02-03T04:05:06Z",
        "merge_sha": SHA,
        "files": [{"path": path, "additions": 9, "deletions": 0, "status": "modified"} for path in PATHS],
        **changes,
    }


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """`rows` as JSON lines (a string goes in as it is), compressed when the name says so."""
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

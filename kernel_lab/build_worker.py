"""Build worker: builds one C++ or CUDA solution with the scorer's builder and leaves the shared library's bytes behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kernel_lab.fib import build_library


def main(job: Path, out: Path) -> None:
    data = json.loads(job.read_text(encoding="utf-8"))
    out.write_bytes(build_library(data["definition"], data["solution"], data["arch_list"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

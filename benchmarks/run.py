"""Run a benchmark by name: `./run bench retrieval`, `./run bench speed [--large]`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

NAMES = ("retrieval", "speed")


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(f"usage: ./run bench {'|'.join(NAMES)}", file=sys.stderr)
        sys.exit(2)
    script = Path(__file__).parent / f"{sys.argv[1]}.py"
    sys.argv = [str(script), *sys.argv[2:]]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()

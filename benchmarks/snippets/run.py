"""Snippets on a Hopper GPU: builds the pages' sm_90a fences into one program, runs every case, and records what was seen.

`build FOLDER` needs nvcc and no GPU; `run FOLDER` needs the GPU and only the standard library; `record FOLDER` writes h200.yaml here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = HERE.parents[1] / "corpus" / "pages"
HEAD = """# Written by `python benchmarks/snippets/run.py record` and `python_cases.py record`; never by hand.
# The pages' Hopper fences that ran and gave what the host or torch computes: sha256 of the code, largest error, limit.
"""
SOURCES = ("main", "hardware", "technique", "pattern")
FLAGS = ["-gencode", "arch=compute_90a,code=sm_90a", "-std=c++17", "-O2", "-I", str(HERE)]
SECONDS = 60  # for one case: a hang ends here


def build(folder: Path) -> None:
    """Write each case's fence as a header, compile and link. `record` reads the headers again: they are what ran."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for source in SOURCES[1:]:
        text = (HERE / f"{source}.cu").read_text(encoding="utf-8")
        lines = []
        for kind, name in re.findall(r"^CASE\((\w+), (\w+),", text, re.M):
            code = fence(kind, name)
            count += 1
            (folder / f"{kind}_{name}.inc").write_text(code, encoding="utf-8")
            lines.append(f'namespace {kind}_{name} {{\n#include "{kind}_{name}.inc"\n}}\n')
        (folder / f"snippets_{source}.cuh").write_text("".join(lines), encoding="utf-8")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda source: nvcc(folder, "-c", str(HERE / f"{source}.cu"), "-o", str(folder / f"{source}.o")), SOURCES))
    nvcc(folder, *[str(folder / f"{source}.o") for source in SOURCES], "-o", str(folder / "cases"))
    print(f"{count} cases in {folder / 'cases'}")


def page_of(kind: str, name: str) -> str:
    return f"{kind}/{name.replace('_', '-')}"


def fence(kind: str, name: str) -> str:
    """The page's first fence for sm_90a."""
    page = PAGES / kind / f"{name.replace('_', '-')}.md"
    found = re.search(r"^```cuda arch=sm_90a[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    if not found:
        raise SystemExit(f"{page_of(kind, name)} has no cuda fence for sm_90a; take its case out of benchmarks/snippets")
    return found[1]


def nvcc(folder: Path, *words: str) -> None:
    done = subprocess.run(["nvcc", *FLAGS, "-I", str(folder), *words], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def run(folder: Path) -> int:
    """Run every case in a process of its own; print one JSON line each and write `results.json`. The number of failures."""
    program = folder / "cases"
    names = subprocess.run([program], capture_output=True, encoding="utf-8", check=True).stdout.split()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda name: one(program, name), names))
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", "0"]
    gpu, driver = subprocess.run(query, capture_output=True, encoding="utf-8", check=True).stdout.strip().split(", ")
    day = datetime.now(timezone.utc).date().isoformat()
    (folder / "results.json").write_text(json.dumps({"gpu": gpu, "driver": driver, "date": day, "results": results}), encoding="utf-8")
    failed = [row for row in results if not row["ok"]]
    for row in failed:
        print(json.dumps(row))
    print(f"{gpu}, driver {driver}: {len(results) - len(failed)} of {len(results)} cases right")
    return len(failed)


def one(program: Path, name: str) -> dict[str, object]:
    try:
        done = subprocess.run([program, name], capture_output=True, encoding="utf-8", check=False, timeout=SECONDS)
        said: dict[str, object] = json.loads(done.stdout)
        return said
    except subprocess.TimeoutExpired:
        return {"case": name, "ok": False, "cuda": f"no end after {SECONDS} s"}
    except ValueError:
        return {"case": name, "ok": False, "cuda": f"exit {done.returncode}: {done.stderr[-300:]}"}


def record(folder: Path) -> None:
    """h200.yaml: for each page whose fence ran and was right, the text that ran (sha256) and the largest error against its limit."""
    seen = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    texts = {str(row["case"]): digest(header(folder, str(row["case"])).read_text(encoding="utf-8")) for row in seen["results"]}
    lines = [f'{name}: "{seen[name]}"' for name in ("gpu", "driver", "date")] + ["runs:"]
    rows = []
    for row in seen["results"]:
        if row["ok"]:
            page = page_of(*str(row["case"]).split("/", 1))
            rows.append(f'  {page}: {{sha256: "{texts[row["case"]]}", worst: {row["worst"]:g}, limit: {row["limit"]:g}}}')
    write(cuda="\n".join([*lines, *sorted(rows)]) + "\n")
    print(f"{len(rows)} fences recorded; {mark()} pages say that theirs ran")


def write(cuda: str = "", python: str = "") -> None:
    """h200.yaml with one of its two parts new: what `run.py` records, and behind it what `python_cases.py` records."""
    file = HERE / "h200.yaml"
    old_cuda, _, old_python = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.M).partition("python:\n")
    python = python or (f"python:\n{old_python}" if old_python else "")
    file.write_text(HEAD + (cuda or old_cuda) + python, encoding="utf-8")


def header(folder: Path, case: str) -> Path:
    return folder / f"{case.replace('/', '_', 1)}.inc"


def digest(code: str) -> str:
    """The code as `kwiki check` names it: without comments and spacing, the first 16 digits of its sha256."""
    return hashlib.sha256("".join(re.sub(r"//[^\n]*", "", code).split()).encode()).hexdigest()[:16]


def mark() -> int:
    """Say `snippets: ran` on the pages whose Hopper fences, as they stand now, are recorded in h200.yaml, and `compiled` on the others."""
    from kernelwiki.grounding.snippets import snippets_of
    from kernelwiki.reading.pages import read_pages

    recorded = set(re.findall(r'sha256: "(\w+)"', (HERE / "h200.yaml").read_text(encoding="utf-8")))
    count = 0
    for page in read_pages(PAGES):
        units = snippets_of(page)
        cuda = [unit.digest for unit in units if unit.language == "cuda" and "sm_90a" in unit.archs]
        wanted = [*cuda[:1], *(unit.digest for unit in units if unit.runs_on_hopper)]
        ran = bool(wanted) and set(wanted) <= recorded
        count += ran
        path = PAGES / f"{page.id}.md"
        text = path.read_text(encoding="utf-8")
        marked = re.sub(r"^snippets: (?:ran|compiled)$", f"snippets: {'ran' if ran else 'compiled'}", text, count=1, flags=re.M)
        if marked != text:
            path.write_text(marked, encoding="utf-8")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("build", "run", "record"))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    return {"build": build, "run": run, "record": record}[chosen.step](chosen.folder) or 0


if __name__ == "__main__":
    sys.exit(main())

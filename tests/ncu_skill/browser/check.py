"""Checks report pages in headless Chromium with axe-core: `./run browser [--write]` (node, npm, Chromium; installs into .lab/browser).

Pages come from the shipped reports, one of them with hostile strings; a page with planted faults has to fail. `--write` renews
docs/ncu/browser.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from ncu_skill.page.facade import write_report

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LAB = ROOT / ".lab" / "browser"
RESULT = ROOT / "docs" / "ncu" / "browser.md"
PAGES = {
    "compute": ("pairs", "second", "sgemm"),
    "imbalance": ("pairs", "second", "shape_imbalance"),
    "many-kernels": ("pairs", "again", "filterbank"),
    "triton": ("pairs", "python", ""),
    "range": ("corpus", "range", ""),
    "sawtooth": ("shapes", "shapes", "sawtooth_phases"),
}
HOSTILE = {b"swinging(float *, unsigned int, int)": b'"><img src=x onerror=alert(1)><b>\x1b[2', b"shapes.cu": b"<i>es.cu>"}
FAULTY = """<!doctype html><html><title>x</title><style>p{color:#ccc}</style><body style='width:2000px'>
<p>pale</p><img src='missing.png'><script>console.error(1)</script>"""

METHOD = (
    "Each page is opened at 1280 and 400 pixels in light and dark, and axe-core sees every folded part opened.",
    "Checked: console messages, requests beyond the file, visible charts, sideways scrolling, the first key stop, scripts and handlers,",
    "axe-core's rules. A page with planted faults fails each of these.",
)


def reports() -> Path:
    folder = LAB / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pairs", "corpus", "shapes"):
        with tarfile.open(HERE.parent / "reports" / f"{name}.tar.xz") as tar:
            for member in tar.getmembers():
                tar.extract(member, folder / name)
    return folder


def launch_of(folder: Path, report: str, case: str) -> int:
    if not case:
        return 0
    index = folder / "index.json"
    order = json.loads(index.read_text(encoding="utf-8"))["launches"][report] if index.is_file() else []
    order = order or [name for name in (folder / "shapes.cases").read_text(encoding="utf-8").split() for _ in range(3)]
    return int(order.index(case))


def pages(folder: Path) -> list[Path]:
    found = []
    for name, (corpus, report, case) in PAGES.items():
        path = folder / corpus / f"{report}.ncu-rep"
        found.append(
            write_report(path, LAB / f"{name}.html", launch=launch_of(path.parent, report, case), source_root=ROOT / "benchmarks" / "ncu")
        )
    data = (folder / "shapes" / "shapes.ncu-rep").read_bytes()
    for old, new in HOSTILE.items():
        data = data.replace(old, new.ljust(len(old))[: len(old)])
    path = folder / "hostile.ncu-rep"
    path.write_bytes(data)
    found.append(write_report(path, LAB / "hostile.html", launch=launch_of(folder / "shapes", "shapes", "sawtooth_sleep")))
    return found


def run(pages: list[Path], *, quiet: bool = False) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(["node", "check.mjs", "shots", *map(str, pages)], cwd=LAB, check=False, capture_output=quiet)
    return done.returncode, json.loads((LAB / "shots" / "result.json").read_text(encoding="utf-8"))


def table(rows: list[dict[str, Any]], sizes: dict[str, int], chromium: str) -> str:
    versions = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    text = [
        "# Report pages in a browser",
        "",
        f"Written by `./run browser --write`: {chromium}, axe-core {versions['axe-core']}, playwright-core {versions['playwright-core']}.",
        *METHOD,
        "",
        "| page | kB | width | colours | charts | axe findings | serious | problems |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        serious = sum(item["impact"] in {"serious", "critical"} for item in row["violations"])
        text.append(
            f"| {row['page'].removesuffix('.html')} | {sizes[row['page']] // 1000} | {row['width']} | {row['scheme']} | {row['charts']} "
            f"| {len(row['violations'])} | {serious} | {len(row['problems']) or 'none'} |"
        )
    return "\n".join(text) + "\n"


def main() -> int:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not on PATH; install Node.js 20 or newer")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or ""
    if not chromium:
        sys.exit("no Chromium on PATH; install it (Debian: apt-get install chromium) or set CHROMIUM")
    os.environ["CHROMIUM"] = chromium
    LAB.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "check.mjs"):
        shutil.copy(HERE / name, LAB / name)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=LAB, check=True)
    faulty = LAB / "faulty.html"
    faulty.write_text(FAULTY, encoding="utf-8")
    code, rows = run([faulty], quiet=True)
    planted = " ".join(rows[0]["problems"])
    if code == 0 or not all(word in planted for word in ("console", "request", "axe", "sideways", "scripts")):
        sys.exit(f"the check does not see planted faults: {planted}")
    made = pages(reports())
    code, rows = run(made)
    if "--write" in sys.argv and code == 0:
        version = subprocess.run([chromium, "--version"], capture_output=True, check=True, encoding="utf-8").stdout.strip()
        RESULT.write_text(table(rows, {path.name: path.stat().st_size for path in made}, version), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())

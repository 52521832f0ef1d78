"""Speed and memory: cold command, warm API, index build, peak memory, at the shipped size and at 200,000 records.

    ./run bench speed [--large]        (writes benchmarks/SPEED.md; --large adds the 200,000 records, about 10 minutes)

The large corpus is the shipped one repeated under other numbers; its vectors come from the shipped cache, so building it does not embed.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from kernelwiki.home import find_places
from kernelwiki.reading.records import read_records, write_records

ROOT = Path(__file__).parent.parent
COLD_RUNS = 9
WARM_ROUNDS = 5
LARGE = 200_000
QUERIES = [
    "tcgen05 TMEM accumulation",
    "cp.async.bulk.tensor multicast",
    "kernel hangs on B200 with 2-CTA",
    "FP8 GEMM with 1x128 activation and 128x128 weight scales",
    "decode attention with one query token and small batch fills only a few SMs",
    "moe_align_block_size",
    "register spills to local memory",
    "split the KV sequence over CTAs and combine partial results",
    "setmaxnreg warp specialization ping-pong",
    "nvfp4 quantize swizzled scale factors",
]
_WARM = """
import json, os, resource, sys, time
from kernelwiki import Wiki
queries, rounds, store, options = json.loads(sys.argv[1])
started = time.perf_counter(); wiki = Wiki.open(store=store); opened = time.perf_counter() - started
started = time.perf_counter(); wiki.search(queries[0]); first = time.perf_counter() - started
times = []
for _ in range(rounds):
    for query in queries:
        started = time.perf_counter(); wiki.search(query, **options); times.append(time.perf_counter() - started)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"open": opened, "first": first, "times": times, "peak_mb": peak}))
"""


def cold(environment: dict[str, str]) -> list[float]:
    """Wall seconds of whole `kwiki search` commands, one query each."""
    times = []
    for number in range(COLD_RUNS):
        started = time.perf_counter()
        subprocess.run(["kwiki", "search", QUERIES[number % len(QUERIES)], "--json"], env=environment, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return times


def warm(environment: dict[str, str], store: str, options: dict[str, str] | None = None) -> dict[str, float]:
    """Milliseconds of API calls in one process (median, 95th percentile), and its peak memory."""
    argument = json.dumps([QUERIES, WARM_ROUNDS, store, options or {}])
    output = subprocess.run([sys.executable, "-c", _WARM, argument], env=environment, check=True, capture_output=True, text=True).stdout
    data = json.loads(output)
    times = sorted(data["times"])
    return {
        "median": statistics.median(times) * 1e3,
        "p95": times[int(len(times) * 0.95)] * 1e3,
        "peak_mb": data["peak_mb"],
        "first": data["first"] * 1e3,
    }


def build(environment: dict[str, str], *options: str) -> tuple[float, float]:
    """Seconds and peak MB of `kwiki index build`."""
    started = time.perf_counter()
    subprocess.run(["kwiki", "index", "build", "--json", *options], env=environment, check=True, capture_output=True)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def large_corpus(folder: Path) -> Path:
    """The shipped corpus with its records repeated until there are LARGE."""
    shipped = find_places().corpus
    target = folder / "corpus"
    target.mkdir()
    for name in ("vocabulary", "pages", "model", "questions"):
        (target / name).symlink_to(shipped / name)
    records = list(read_records(shipped / "records", verify=False))
    copies = []
    for number in range(LARGE):
        record = records[number % len(records)]
        shift = number // len(records) * 1_000_000
        copies.append(replace(record, id=f"{record.short_repo}#{record.number + shift}", number=record.number + shift))
    write_records(target / "records", copies)
    return target


def table(label: str, environment: dict[str, str]) -> list[str]:
    first, first_peak = build(environment, "--no-chroma")
    chroma, _ = build(environment)
    times = cold(environment)
    spread = f"min {min(times):.2f}, max {max(times):.2f}, n={len(times)}"
    lines = [
        f"| {label} | index build, lexical + vectors | {first:.1f} s, peak {first_peak:.0f} MB |",
        f"| {label} | adding the Chroma collection | {chroma:.1f} s |",
        f"| {label} | cold `kwiki search` | median {statistics.median(times):.2f} s ({spread}) |",
    ]
    ways = (("exact", "exact", {}), ("exact, arch sm100", "exact", {"arch": "sm100"}), ("Chroma embedded", "chroma", {}))
    for name, store, options in ways:
        result = warm(environment, store, options)
        speed = f"median {result['median']:.1f} ms, p95 {result['p95']:.1f} ms"
        lines.append(f"| {label} | warm API, {name} | {speed}, first call {result['first']:.0f} ms, peak {result['peak_mb']:.0f} MB |")
    for line in lines:
        print(line, flush=True)
    return lines


def main() -> None:
    lines = ["| corpus | what | measured |", "| --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        search_path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "KWIKI_HOME": str(Path(folder) / "home"), "PATH": search_path}
        lines += table("shipped", environment)
        if "--large" in sys.argv:
            shutil.rmtree(environment["KWIKI_HOME"])
            corpus = large_corpus(Path(folder))
            lines += table(f"{LARGE:,} records", {**environment, "KWIKI_CORPUS": str(corpus)})
    head = "# Speed and memory\n\nCommand: `./run bench speed --large`. "
    head += f"{os.cpu_count()} cores ({platform.machine()}), CPython {platform.python_version()}, no GPU.\n\n"
    (Path(__file__).parent / "SPEED.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Agent-free evaluation: questions answered by scripted sequences of at most three tool calls, which are counted and timed.

`python benchmarks/agent/run.py --write` writes RESULTS.md; `--server` starts the server as a process (default: in memory).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import yaml
from mcp import Client, StdioServerParameters

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REPORTS = ROOT / "tests" / "ncu_skill" / "reports"
NEEDED = {"corpus.tar.xz": ("python.ncu-rep", "cuda.ncu-rep"), "shapes.tar.xz": ("shapes.ncu-rep", "shapes_again.ncu-rep")}
MOST_CALLS = 3
Question = dict[str, Any]


@dataclass
class Counter:
    """Calls the tools and counts calls, characters of what a model would read (the structured content), and milliseconds."""

    client: Client
    calls: int = 0
    characters: int = 0
    milliseconds: list[float] = field(default_factory=list)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer; {"error": message} for a call that failed."""
        started = time.perf_counter()
        found = await self.client.call_tool(tool, arguments)
        self.milliseconds.append(1000 * (time.perf_counter() - started))
        data = (
            found.structured_content if not found.is_error else {"error": "\n".join(getattr(block, "text", "") for block in found.content)}
        )
        self.calls += 1
        self.characters += len(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
        assert self.calls <= MOST_CALLS
        return dict(data or {})

    async def next(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The call that an error or a cut answer names, as it stands there."""
        text = answer["next"] if "next" in answer else answer["error"].rsplit("Next: ", 1)[1]
        tool, _, arguments = text.partition(" ")
        return await self(tool, **json.loads(arguments or "{}"))


async def use(ask: Counter, question: Question) -> str:
    """The first (or last) pull request that adds a line with the name, traced to file and line."""
    name = question["name"]
    filters = {key: question[key] for key in ("repo", "arch") if key in question}
    found = await ask("kwiki_search", query=name, uses=name, sort=question.get("sort", "oldest"), limit=1, **filters)
    first = found["results"][0]
    links = (await ask("kwiki_trace", id=first["id"], limit=50))["links"]
    places = [f"{link['path']}:{link['line']}" for link in links if link["name"].startswith(name) and link.get("line")]
    return f"{first['id']} {' '.join(places)}"


async def diagnosis(ask: Counter, question: Question) -> str:
    """Diagnose the kernel, read the first page of its first finding."""
    found = await ask("ncu_diagnose", report=question["report"], kernel=question["kernel"], limit=1)
    return await _explained(ask, found["kernels"][0])


async def _explained(ask: Counter, kernel: dict[str, Any]) -> str:
    first = kernel["findings"][0]
    places = " ".join(f"{place['file']}:{place['line']}" for place in first["locations"])
    page = await ask("kwiki_read", id=first["pages"][0]["id"]) if first.get("pages") else {}
    return f"{kernel['name']}: {first['id']} at {places}; {page.get('id', 'no page')} {page.get('title', '')}"


async def longest(ask: Counter, question: Question) -> str:
    """Summary, then the diagnosis of its first kernel, then the page."""
    group = (await ask("ncu_summary", report=question["report"], limit=1))["groups"][0]
    found = await ask("ncu_diagnose", report=question["report"], launch=group["launch"])
    return await _explained(ask, found["kernels"][0])


async def hot_line(ask: Counter, question: Question) -> str:
    """The first hot line and what it waits for."""
    line = (await ask("ncu_hotspots", report=question["report"], kernel=question["kernel"], limit=1))["lines"][0]
    return f"{line['file']}:{line['line']} {line['stall']} {line['opcode']} {' '.join(item['opcode'] for item in line['producers'])}"


async def symptom(ask: Counter, question: Question) -> str:
    """Searched twice with different words, as the prompt `research` says; the page that both put high is read."""
    ranks: dict[str, float] = {}
    for words in (question["query"], question["ask"]):
        for place, hit in enumerate((await ask("kwiki_search", query=words, kind="page", limit=4))["results"], 1):
            ranks[hit["id"]] = ranks.get(hit["id"], 0.0) + 1 / place
    page = await ask("kwiki_read", id=max(ranks, key=lambda name: ranks[name]))
    return f"{page['id']} {page['title']}"


async def cited(ask: Counter, question: Question) -> str:
    """The first page found, and the lines of one repository that it cites."""
    page = (await ask("kwiki_search", query=question["query"], kind="page", limit=1))["results"][0]
    links = (await ask("kwiki_trace", id=page["id"], limit=50))["links"]
    places = [f"{link['name']} {link['path']}:{link['line']}" for link in links if link.get("line") and question["repo"] in link["url"]]
    return f"{page['id']} {' '.join(places)}"


async def recovery(ask: Counter, question: Question) -> str:
    """A call with a slip in a name fails; the call that its error names is made; then the page."""
    failed = await ask(question["tool"], **question["arguments"])
    if "error" not in failed:
        return "the slip was not noticed"
    found = await ask.next(failed)
    return await _explained(ask, found["kernels"][0]) if "kernels" in found else f"{found['id']} {found['title']}"


async def course(ask: Counter, question: Question) -> str:
    """The launch of a kernel, and its course over time."""
    group = (await ask("ncu_summary", report=question["report"], kernel=question["kernel"], limit=1))["groups"][0]
    found = await ask("ncu_timeline", report=question["report"], launch=group["launch"])
    return f"{group['name']}: {found.get('shape')} {found.get('refused') or found.get('why')}"


async def change(ask: Counter, question: Question) -> str:
    """The verdict on each kernel of two reports, as far as three calls go."""
    found = await ask("ncu_diff", base=question["base"], candidate=question["candidate"], kernel=question.get("kernel", ""), limit=20)
    verdicts = [kernel["verdict"] for kernel in found["kernels"]]
    while "next" in found and ask.calls < MOST_CALLS:
        found = await ask.next(found)
        verdicts += [kernel["verdict"] for kernel in found["kernels"]]
    return f"{found['total']} kernels: " + ", ".join(f"{verdicts.count(name)} {name}" for name in sorted(set(verdicts)))


SEQUENCES: dict[str, Callable[[Counter, Question], Awaitable[str]]] = {
    "use": use,
    "diagnosis": diagnosis,
    "longest": longest,
    "hot_line": hot_line,
    "symptom": symptom,
    "cited": cited,
    "recovery": recovery,
    "course": course,
    "change": change,
}


@dataclass(frozen=True)
class Row:
    id: str
    solved: bool
    calls: int
    characters: int
    milliseconds: float
    answer: str


async def answer_all(client: Client, questions: list[Question]) -> list[Row]:
    """Every question in order, after one unmeasured round that opens index and reports."""
    await client.call_tool("kwiki_search", {"query": "warm"})
    for report in sorted({question[key] for question in questions for key in ("report", "base", "candidate") if key in question}):
        await client.call_tool("ncu_summary", {"report": report})
    rows = []
    for question in questions:
        ask = Counter(client)
        try:
            answer = await SEQUENCES[question["kind"]](ask, question)
        except (KeyError, IndexError, ValueError) as error:
            answer = f"no answer ({type(error).__name__}: {error})"
        solved = all(wanted in answer for wanted in question["expect"]) and not any(word in answer for word in question.get("never", []))
        rows.append(Row(question["id"], solved, ask.calls, ask.characters, sum(ask.milliseconds), answer))
    return rows


async def plain_pages(client: Client) -> str:
    """How often one plain sentence finds its page, as a line of the report."""
    questions = yaml.safe_load((HERE / "pages.yaml").read_text(encoding="utf-8"))
    places = []
    for question in questions:
        found = await client.call_tool("kwiki_search", {"query": question["query"], "kind": "page", "limit": 3})
        ids = [hit["id"] for hit in (found.structured_content or {"results": []})["results"]]
        places.append(ids.index(question["page"]) if question["page"] in ids else len(ids))
    first, near = places.count(0), sum(place < 3 for place in places)
    return f"One plain sentence, one search (pages.yaml): the right page is first for {first} of {len(places)}, among three for {near}."


def table(rows: list[Row], pages: str) -> str:
    solved = [row for row in rows if row.solved]
    lines = [
        "# Agent-free evaluation",
        "",
        f"{len(rows)} questions (questions.yaml), each answered by a scripted sequence of at most {MOST_CALLS} tool calls.",
        "Made by `python benchmarks/agent/run.py --server --write`.",
        "Expected answers were read off the records and the report labels. Milliseconds are wall time on a busy two-core machine.",
        "",
        f"**{len(solved)} of {len(rows)} solved**; {sum(row.calls for row in rows) / len(rows):.1f} calls, "
        f"{median(row.characters for row in rows):.0f} characters and {median(row.milliseconds for row in rows):.0f} ms "
        "a question (medians).",
        pages,
        "",
        "| question | solved | calls | characters | ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.id} | {'yes' if row.solved else '**no**'} | {row.calls} | {row.characters} | {row.milliseconds:.0f} |" for row in rows
    ]
    misses = [f"- {row.id}: answered `{row.answer[:160]}`" for row in rows if not row.solved]
    return "\n".join([*lines, *(["", "## Misses", "", *misses] if misses else []), ""])


def main() -> None:
    """Print the rows; write RESULTS.md with --write; exit code 1 below --least solved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--server", action="store_true", help="start the server as a process on stdio")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md")
    parser.add_argument("--least", type=int, default=40, help="questions that have to be solved")
    options = parser.parse_args()
    questions: list[Question] = yaml.safe_load((HERE / "questions.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for archive, names in NEEDED.items():
            with tarfile.open(REPORTS / archive) as tar:  # our own archives
                for name in (name for name in tar.getnames() if name.removeprefix("./") in names):
                    tar.extract(name, folder)
        rows, pages = anyio.run(_run, folder, questions, options.server)
    print("\n".join(f"{'ok  ' if row.solved else 'MISS'} {row.id}: {row.answer[:150]}" for row in rows))
    if options.write:
        (HERE / "RESULTS.md").write_text(table(rows, pages), encoding="utf-8")
    print("\n".join(table(rows, pages).splitlines()[6:8]))
    sys.exit(0 if sum(row.solved for row in rows) >= options.least else 1)


async def _run(folder: str, questions: list[Question], process: bool) -> tuple[list[Row], str]:
    server: Any
    if process:
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "KWIKI_HOME")}
        server = StdioServerParameters(command=sys.executable, args=["-m", "mcp_server.cli", "--root", folder], env=environment, cwd=ROOT)
    else:
        from mcp_server.server import build_server
        from mcp_server.settings import make_settings

        server = build_server(make_settings([folder]))
    async with Client(server) as client:
        return await answer_all(client, questions), await plain_pages(client)


if __name__ == "__main__":
    main()

"""The `kwiki` command: parse, one call of the facade, one renderer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import click

EPILOG = "Exit codes: 0 ok (also no match), 1 failed check, 2 usage, 3 not found, 4 unreadable input, 5 missing dependency or index."
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


class LazyGroup(click.Group):
    """Loads `kwiki ingest` and `kwiki skill` only when they are used."""

    lazy: ClassVar = {"ingest": "ingest.cli:ingest"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.lazy:
            from importlib import import_module

            module, name = self.lazy[cmd_name].split(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kernel-skills", prog_name="kwiki")
def cli() -> None:
    """KernelWiki: search and trace GPU kernel pull requests and pages, offline."""


def _open(embedder: str | None = None, store: str = "exact") -> Any:
    from kernelwiki.progress import StepBar
    from kernelwiki.wiki import Wiki

    with StepBar("Building the search index (once)") as bar:
        return Wiki.open(embedder=embedder, store=store, progress=bar.update)


def _print(as_json: bool, data: Callable[[], dict[str, Any]], text: Callable[[], str]) -> None:
    from kernelwiki.render import to_json

    click.echo(to_json(data()) if as_json else text())


@cli.command(epilog=EPILOG)
@click.argument("query", required=False)
@click.option("--kind", type=click.Choice(["page", "pr", "any"]), default="any", show_default=True, help="Pages, pull requests or both.")
@click.option("--repo", multiple=True, metavar="NAME", help="Only this repository (cutlass, vllm, …); may repeat.")
@click.option("--arch", multiple=True, metavar="ARCH", help="Only with evidence for sm90, sm100, B200 …; may repeat.")
@click.option("--tag", multiple=True, metavar="TERM", help="Only with this vocabulary term; repeat to require several.")
@click.option("--since", default="", metavar="DATE", help="Merged on or after 2025-06-30 (or 2025-06, 2025).")
@click.option("--uses", default="", metavar="NAME", help="Only pull requests that add a line with this code name (tcgen05.mma, tma_*).")
@click.option(
    "--sort",
    type=click.Choice(["relevance", "oldest", "newest"]),
    default="relevance",
    show_default=True,
    help="By merge: pull requests only, without weak matches.",
)
@click.option("--limit", type=click.IntRange(0, 5000), default=8, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@click.option("--embedder", metavar="MODEL", help="A sentence-transformers model instead of the shipped one (extra: embed).")
@click.option(
    "--store",
    type=click.Choice(["auto", "exact", "chroma"]),
    default="auto",
    show_default=True,
    help="Where nearest vectors come from; auto: the server of KWIKI_CHROMA_URL when it is set, else exact.",
)
@_json
def search(query: str | None, as_json: bool, embedder: str | None, store: str, **filters: Any) -> None:
    """Find pages and pull requests for QUERY: words, API names, a symptom, an id. With --uses, QUERY may be left out."""
    if query is None and not filters["uses"]:
        raise click.UsageError("Missing argument 'QUERY' (or give --uses NAME).")
    from kernelwiki.render import answer_json, answer_text

    answer = _open(embedder, store).answer(query or "", **filters)
    for note in answer.notes:
        click.echo(f"note: {note}", err=True)
    _print(as_json, lambda: answer_json(answer), lambda: answer_text(answer))


@cli.command(epilog=EPILOG)
@click.argument("id")
@click.option("--section", default="", metavar="NAME", help="One section of a page, by the beginning of its heading.")
@click.option("--sources", is_flag=True, help="With citations, or with every file and locator.")
@_json
def show(id: str, section: str, sources: bool, as_json: bool) -> None:
    """Show a page (hardware/tcgen05) or a pull request (cutlass#2472)."""
    from kernelwiki.show import show_item

    item = show_item(_open(), id, section)
    _print(as_json, item.data, lambda: item.text(sources))


@cli.command(epilog=EPILOG)
@click.argument("id")
@click.option("--all", "every", is_flag=True, help="Every link, not the first 20.")
@_json
def trace(id: str, every: bool, as_json: bool) -> None:
    """Walk from ID to pull request, merge SHA, file, line and address."""
    from dataclasses import asdict

    from kernelwiki.render import links_text
    from kernelwiki.trace import trace as walk

    links = walk(_open(), id)
    chain = [{key: value for key, value in asdict(link).items() if value not in ("", None)} for link in links]
    _print(as_json, lambda: {"id": id, "links": chain}, lambda: links_text(links, 0 if every else 20))


@cli.command("list", epilog=EPILOG)
@click.option("--terms", is_flag=True, help="The vocabulary instead of the pages.")
@click.option("--repo", metavar="NAME", help="The pull requests of one repository, newest first.")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@_json
def list_(terms: bool, repo: str | None, limit: int, offset: int, as_json: bool) -> None:
    """List pages, vocabulary terms (--terms) or a repository's pull requests (--repo)."""
    from kernelwiki.show import listing

    rows = listing(_open(), terms, repo)
    chosen = rows[offset : offset + limit]
    _print(as_json, lambda: {"total": len(rows), "items": chosen}, lambda: "\n".join(f"{row['id']}  {row['title']}" for row in chosen))


@cli.command(epilog=EPILOG)
@click.option("--coverage", is_flag=True, help="What has no page yet: findings, terms, contest operators; what no page cites.")
@_json
def stats(coverage: bool, as_json: bool) -> None:
    """Count what the knowledge base holds, with the cut-off date of each repository."""
    from kernelwiki.show import stats_text
    from kernelwiki.stats import coverage_report, coverage_text
    from kernelwiki.stats import stats as count

    data = coverage_report() if coverage else count(_open())
    _print(as_json, lambda: data, lambda: coverage_text(data) if coverage else stats_text(data))


@cli.command(epilog=EPILOG)
@click.argument("pages", nargs=-1, metavar="[PAGE]...")
@click.option("--snippets", is_flag=True, help="Compile the code of the pages and look for the instructions it promises.")
@click.option(
    "--python", "pythons", multiple=True, metavar="PATH", help="With --snippets: a Python that has triton, nvidia-cutlass-dsl or tilelang."
)
@click.option("--upstream", type=click.Path(exists=True, file_okay=False), help="Prove the facts against the pull requests of this folder.")
@_json
def check(pages: tuple[str, ...], snippets: bool, pythons: tuple[str, ...], upstream: str | None, as_json: bool) -> None:
    """Check schema, links, sources, citations, grounding, vocabulary and evidence of the corpus, or of the PAGEs (id or file) only.

    --snippets compiles CUDA code with nvcc, and Triton, CuTe DSL and TileLang with a Python that has the package: that runs the code.
    """
    from dataclasses import asdict
    from pathlib import Path

    from kernelwiki.grounding.check import check_corpus, check_facts, check_pages, check_snippets
    from kernelwiki.home import find_places

    places = find_places()
    problems = check_pages(places, pages) if pages else check_corpus(places)
    found, done = check_snippets(places, pages, pythons) if snippets else ([], [])
    problems += found
    problems += check_facts(places, Path(upstream)) if upstream else []
    lines = [f"{problem.rule}: {problem.where}: {problem.message}" for problem in problems]
    _print(
        as_json,
        lambda: {
            "ok": not problems,
            "problems": [asdict(problem) for problem in problems],
            **({"python_snippets": done} if snippets else {}),
        },
        lambda: "\n".join([*done, *lines, f"{len(problems)} problems"]),
    )
    sys.exit(1 if problems else 0)


@cli.command(epilog=EPILOG)
@_json
def doctor(as_json: bool) -> None:
    """Say what works here, what does not, and what to run."""
    from dataclasses import asdict

    from kernelwiki.doctor import diagnose

    findings = list(diagnose())
    lines = [
        f"{'ok  ' if item.ok else 'FAIL'} {item.name}: {item.seen}" + ("" if item.ok else f"\n     run: {item.fix}") for item in findings
    ]
    ok = all(item.ok for item in findings)
    _print(as_json, lambda: {"ok": ok, "findings": [asdict(item) for item in findings]}, lambda: "\n".join(lines))
    sys.exit(0 if ok else 1)


@cli.group()
def index() -> None:
    """The search index: derived from the corpus, rebuilt by one command."""


@index.command(epilog=EPILOG)
@click.option("--embedder", metavar="MODEL", default="", help="A sentence-transformers model instead of the shipped one (extra: embed).")
@click.option("--no-chroma", is_flag=True, help="Leave the Chroma collection out: search then scans the vector file.")
@click.option("--force", is_flag=True, help="Build again although the index is up to date.")
@_json
def build(embedder: str, no_chroma: bool, force: bool, as_json: bool) -> None:
    """Build everything: lexical index, vectors, and the Chroma collection (embedded, or on the server of KWIKI_CHROMA_URL)."""
    from kernelwiki.indexing.manage import build_everything
    from kernelwiki.progress import StepBar

    with StepBar("Building the search index") as bar:
        report = build_everything(embedder, chroma=not no_chroma, force=force, progress=bar.update)
    _print(
        as_json,
        lambda: report,
        lambda: f"{report['documents']} documents in {report['seconds']:.1f} s, vectors: {report['store']}, at {report['path']}",
    )


@index.command(epilog=EPILOG)
@_json
def status(as_json: bool) -> None:
    """Say which indexes are there and whether the newest fits the corpus."""
    from kernelwiki.indexing.manage import index_status

    data = index_status()
    _print(as_json, lambda: data, lambda: json.dumps(data, indent=1))


@index.command(epilog=EPILOG)
@_json
def path(as_json: bool) -> None:
    """Print the folder of the indexes."""
    from kernelwiki.home import find_places

    folder = str(find_places().indexes)
    _print(as_json, lambda: {"path": folder}, lambda: folder)


@cli.group()
def skill() -> None:
    """The Agent Skill in Claude Code (~/.claude/skills) and Codex (~/.agents/skills)."""


_clients = click.option("--client", "clients", multiple=True, type=click.Choice(["claude", "codex"]), help="Only this client; may repeat.")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would happen, write nothing.")


def _print_places(as_json: bool, places: Any) -> None:
    rows = [{"client": place.client, "path": str(place.path), "state": place.state, "detail": place.detail} for place in places]
    text = "\n".join(f"{row['client']:7} {row['state']:9} {row['path']}  {row['detail']}".rstrip() for row in rows)
    _print(as_json, lambda: {"places": rows}, lambda: text)


@skill.command(epilog=EPILOG)
@_clients
@click.option("--copy", is_flag=True, help="Copy instead of linking to this checkout (a wheel always copies).")
@_dry_run
@_json
def install(clients: tuple[str, ...], copy: bool, dry_run: bool, as_json: bool) -> None:
    """Install or update the skill; never touches files that are not ours."""
    from kernelwiki import skill as skills

    _print_places(as_json, skills.install(clients, copy=copy, dry_run=dry_run))


@skill.command("status", epilog=EPILOG)
@_clients
@_json
def skill_status(clients: tuple[str, ...], as_json: bool) -> None:
    """Say where the skill is installed and whether it is current."""
    from kernelwiki import skill as skills

    _print_places(as_json, skills.status(clients))


@skill.command(epilog=EPILOG)
@_clients
@_dry_run
@_json
def uninstall(clients: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Remove our link or copy; files that you changed or added stay."""
    from kernelwiki import skill as skills

    _print_places(as_json, skills.uninstall(clients, dry_run=dry_run))


def main() -> None:
    """Run the command line; errors of ours become one line on stderr and an exit code."""
    from kernelwiki.errors import KernelWikiError

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(encoding="utf-8", errors="replace")
    try:
        cli(standalone_mode=False)
    except KernelWikiError as error:
        click.echo(f"kwiki: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)

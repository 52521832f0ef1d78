"""Commands of `ncu-skill`: parse, one facade call, one renderer. Data to stdout, the rest to stderr."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ncu_skill import cli_views
from ncu_skill.emit import emit as _print

EXIT_CODES = "Exit codes: 0 ok, 1 failed check, 2 usage, 3 not found, 4 unreadable report, 5 missing dependency, 130 interrupt."
REPORT = click.argument("report", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
KERNEL = click.option("--kernel", metavar="REGEX", help="Only kernels whose name matches.")
LAUNCH = click.option("--launch", type=click.IntRange(min=0), metavar="N", help="One launch by index.")
PATHS = click.option("--show-paths", is_flag=True, help="Do not redact paths, host and command line.")


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kernel-skills", prog_name="ncu-skill")
def cli() -> None:
    """Nsight Compute reports: what holds a kernel back, where, and what to do."""


@cli.command(epilog=EXIT_CODES)
@REPORT
@KERNEL
@LAUNCH
@click.option("--max-findings", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Kernels to diagnose, longest first.")
@click.option("--format", "style", type=click.Choice(["text", "md", "json"]), default="text", show_default=True)
@JSON
@PATHS
def diagnose(  # noqa: PLR0917
    report: Path, kernel: str | None, launch: int | None, max_findings: int, top: int, style: str, as_json: bool, show_paths: bool
) -> None:
    """What holds each kernel back: ranked findings with evidence, lines and fixes."""
    from ncu_skill import facade, render

    document = facade.diagnose(report, kernel=kernel, launch=launch, max_findings=max_findings, top=top, redact=not show_paths)
    _print(document, as_json or style == "json", lambda found: render.diagnosis(found, markdown=style == "md"))


@cli.command(epilog=EXIT_CODES)
@REPORT
@KERNEL
@JSON
@PATHS
def summary(report: Path, kernel: str | None, as_json: bool, show_paths: bool) -> None:
    """One line per kernel: launches, time, bound."""
    from ncu_skill import facade, render

    _print(facade.summary(report, kernel=kernel, redact=not show_paths), as_json, render.summary)


@cli.command(epilog=EXIT_CODES)
@REPORT
@KERNEL
@LAUNCH
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True)
@click.option("--source-root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder with the sources.")
@click.option("--sass", is_flag=True, help="The instructions, too, with the PTX they were made from.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html", help="Write the annotated source as a page.")
@JSON
@PATHS
def hotspots(  # noqa: PLR0917
    report: Path,
    kernel: str | None,
    launch: int | None,
    limit: int,
    source_root: Path | None,
    sass: bool,
    html: Path | None,
    as_json: bool,
    show_paths: bool,
) -> None:
    """The lines where warps wait, and what they wait for."""
    from ncu_skill import facade, render

    document = facade.hotspots(report, kernel=kernel, launch=launch, limit=limit, source_root=source_root, redact=not show_paths, sass=sass)
    _print(document, as_json, render.hotspots)
    if html is not None:
        cli_views.write_page(report, html, kernel, launch, source_root, not show_paths)


@cli.command(epilog=EXIT_CODES)
@REPORT
@KERNEL
@LAUNCH
@click.option("--only", metavar="TABLE", help="One of roofline, occupancy, balance, memory, tensor, patterns.")
@JSON
@PATHS
def analyse(report: Path, kernel: str | None, launch: int | None, only: str | None, as_json: bool, show_paths: bool) -> None:  # noqa: PLR0917
    """The tables behind the diagnosis: roofline, occupancy curves, balance, memory, tensor paths, SASS patterns."""
    from ncu_skill import facade, render_details

    document = facade.analyse(report, kernel=kernel, launch=launch, only=only, redact=not show_paths)
    _print(document, as_json, render_details.tables)


@cli.command(epilog=EXIT_CODES)
@REPORT
@click.option("--match", default="*", show_default=True, metavar="GLOB", help="Metric names to show.")
@KERNEL
@LAUNCH
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
@JSON
def metrics(report: Path, match: str, kernel: str | None, launch: int | None, limit: int, offset: int, as_json: bool) -> None:  # noqa: PLR0917
    """Metric values with units."""
    from ncu_skill import facade, render

    document = facade.metrics(report, match=match, kernel=kernel, launch=launch, limit=limit, offset=offset)
    if document["note"]:
        click.echo(document["note"], err=True)
    _print(document, as_json, render.metrics)


@cli.command(epilog=EXIT_CODES)
@click.argument("words", nargs=-1, metavar="[show ID]")
@JSON
def rules(words: tuple[str, ...], as_json: bool) -> None:
    """The playbook: `rules` lists it, `rules show ID` prints one entry in full."""
    from ncu_skill import facade, render

    if words and (words[0] != "show" or len(words) != 2):
        raise click.UsageError("write `rules`, or `rules show ID`")
    _print(facade.rules(words[1] if words else None), as_json, lambda found: render.rules(found, full=bool(words)))


@cli.command(epilog=EXIT_CODES, context_settings={"allow_interspersed_args": False})
@click.option("-k", "--kernel", metavar="REGEX", help="Kernel to profile.")
@click.option("--kind", type=click.Choice(["cuda", "triton", "torch"]), default="cuda", show_default=True)
@click.option("--skip", type=click.IntRange(0), default=0, show_default=True, help="Launches to skip first.")
@click.option("--count", type=click.IntRange(1), default=3, show_default=True, help="Launches to profile.")
@click.option("-o", "--output", default="profile", show_default=True)
@click.option("--clock-control", type=click.Choice(["none", "base"]), default="none", show_default=True)
@click.option("--run", is_flag=True, help="Run the command instead of printing it.")
@JSON
@click.argument("application", nargs=-1, type=click.UNPROCESSED)
def collect(  # noqa: PLR0917
    kernel: str | None,
    kind: str,
    skip: int,
    count: int,
    output: str,
    clock_control: str,
    run: bool,
    as_json: bool,
    application: tuple[str, ...],
) -> None:
    """Print (or run) the ncu command for an application. Options come before it; what stands behind its name is its own."""
    from ncu_skill import collect as recipe

    words = recipe.command(application, kernel=kernel, kind=kind, skip=skip, count=count, output=output, clock_control=clock_control)
    if run:
        import subprocess

        sys.exit(subprocess.run(words, check=False).returncode)
    notes = recipe.notes(kind, kernel)
    document = {"schema_version": 1, "command": words, "notes": notes, "problems": recipe.PROBLEMS}
    _print(document, as_json, lambda found: recipe.joined(found["command"]))
    for note in () if as_json else notes:
        click.echo(f"note: {note}", err=True)


@cli.command(epilog=EXIT_CODES)
@JSON
def doctor(as_json: bool) -> None:
    """What is installed, what is missing, and how to get it."""
    from ncu_skill import doctor as checks
    from ncu_skill import render

    document = checks.check()
    _print(document, as_json, render.doctor)
    sys.exit(0 if document["ok"] else 5)


cli_views.register(cli)

"""Commands over the diagnosis (diff, timeline, report, track): parse, one facade call, one renderer. `register` adds them to the group."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ncu_skill.emit import emit

EXIT_CODES = "Exit codes: 0 ok, 1 failed check, 2 usage, 3 not found, 4 unreadable report, 5 missing dependency, 130 interrupt."
REPORT = click.argument("report", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
KERNEL = click.option("--kernel", metavar="REGEX", help="Only kernels whose name matches.")
LAUNCH = click.option("--launch", type=click.IntRange(min=0), metavar="N", help="One launch by index.")
PATHS = click.option("--show-paths", is_flag=True, help="Do not redact paths, host and command line.")


@click.command(epilog=EXIT_CODES)
@click.argument("reports", nargs=-1, required=True, metavar="BASE CANDIDATE...", type=click.Path(path_type=Path))
@KERNEL
@click.option("--base-kernel", metavar="REGEX", help="The kernel of BASE, where names differ.")
@click.option("--candidate-kernel", metavar="REGEX", help="The kernel of CANDIDATE.")
@click.option("--base-launch", type=click.IntRange(min=0), metavar="N", help="The launch of BASE (with those like it).")
@click.option("--candidate-launch", type=click.IntRange(min=0), metavar="N", help="The launch of CANDIDATE (with those like it).")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Pairs to show, longest first.")
@click.option("--match", metavar="GLOB", help="Raw metrics to compare, too.")
@click.option(
    "--fail-on-regression", "percent", type=click.FloatRange(min=0), metavar="PCT", help="Exit 1 when a kernel got slower by more."
)
@click.option("--format", "style", type=click.Choice(["text", "md", "json"]), default="text", show_default=True)
@JSON
@PATHS
def diff(  # noqa: PLR0917
    reports: tuple[Path, ...],
    kernel: str | None,
    base_kernel: str | None,
    candidate_kernel: str | None,
    base_launch: int | None,
    candidate_launch: int | None,
    top: int,
    match: str | None,
    percent: float | None,
    style: str,
    as_json: bool,
    show_paths: bool,
) -> None:
    """What changed from BASE to CANDIDATE, beyond noise, and why. More than two reports give a table."""
    from ncu_skill import comparison, render_compare

    if len(reports) < 2:
        raise click.UsageError("diff takes at least two reports: ncu-skill diff BASE CANDIDATE")
    as_json = as_json or style == "json"
    if len(reports) > 2:
        if percent is not None:
            raise click.UsageError("--fail-on-regression takes two reports")
        return emit(comparison.compare_series(reports, kernel=kernel, redact=not show_paths), as_json, render_compare.series)
    document = comparison.compare(
        *reports,
        kernel=kernel,
        base_kernel=base_kernel,
        candidate_kernel=candidate_kernel,
        base_launch=base_launch,
        candidate_launch=candidate_launch,
        top=top,
        match=match,
        redact=not show_paths,
    )
    emit(document, as_json, lambda found: render_compare.comparison(found, markdown=style == "md"))
    if percent is not None:
        _check(document, percent)


def _check(document: dict[str, object], percent: float) -> None:
    """Exit 1 on a regression, or when the reports cannot be compared: a check that cannot judge does not pass."""
    from ncu_skill import comparison
    from ncu_skill.render import safe

    if not document["comparable"]["ok"]:  # type: ignore[index]
        click.echo("--fail-on-regression: the reports cannot be compared in time", err=True)
        sys.exit(1)
    slower = comparison.regressions(document, percent)
    for row in slower:
        click.echo(f"regression: {safe(row['name'], 90)} takes {100 / row['duration_ns']['speedup'] - 100:.1f} % longer", err=True)
    if slower:
        sys.exit(1)


@click.command(epilog=EXIT_CODES)
@REPORT
@KERNEL
@LAUNCH
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.svg|png", help="Draw a picture, too.")
@click.option("--dark", is_flag=True, help="Dark colours (SVG only).")
@click.option("--points", type=click.IntRange(2), default=100, show_default=True, help="Values per series in --json.")
@JSON
def timeline(  # noqa: PLR0917
    report: Path, kernel: str | None, launch: int | None, plot: Path | None, dark: bool, points: int, as_json: bool
) -> None:
    """The launch over time: phases, shape, units and warp states from PM sampling."""
    from ncu_skill import render_timeline
    from ncu_skill.pmsampling import facade

    emit(facade.timeline(report, kernel=kernel, launch=launch, points=points), as_json, render_timeline.timeline)
    if plot is not None:
        click.echo(f"wrote {facade.plot(report, plot, kernel=kernel, launch=launch, dark=dark)}", err=True)


@click.command(epilog=EXIT_CODES)
@REPORT
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html|md", help="File to write."
)
@KERNEL
@LAUNCH
@click.option("--source-root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder with the sources.")
@JSON
@PATHS
def report(  # noqa: PLR0917
    report: Path, output: Path, kernel: str | None, launch: int | None, source_root: Path | None, as_json: bool, show_paths: bool
) -> None:
    """One self-contained page about a launch: findings, charts, timeline, annotated source."""
    from ncu_skill.page import facade

    path = facade.write_report(report, output, kernel=kernel, launch=launch, source_root=source_root, redact=not show_paths)
    document = {"schema_version": 1, "path": str(path), "bytes": path.stat().st_size}
    emit(document, as_json, lambda found: f"wrote {found['path']} ({found['bytes']} bytes)")


@click.command(epilog=EXIT_CODES)
@click.argument("folder", type=click.Path(path_type=Path))
@KERNEL
@click.option("--dry-run", is_flag=True, help="Do not write ncu-history.json.")
@JSON
def track(folder: Path, kernel: str | None, dry_run: bool, as_json: bool) -> None:
    """The trajectory of a kernel over the reports of a folder, kept in FOLDER/ncu-history.json."""
    from ncu_skill import history, render_history

    emit(history.track(folder, kernel=kernel, write=not dry_run), as_json, render_history.history)


def write_page(report: Path, path: Path, kernel: str | None, launch: int | None, source_root: Path | None, redact: bool) -> None:  # noqa: PLR0917
    """The annotated source alone, as HTML; says so on stderr."""
    from ncu_skill.page import facade

    written = facade.write_report(
        report, path, kernel=kernel, launch=launch, source_root=source_root, redact=redact, only=("source", "sass")
    )
    click.echo(f"wrote {written}", err=True)


def register(group: click.Group) -> None:
    """Add the commands of this file."""
    for command in (diff, timeline, report, track):
        group.add_command(command)

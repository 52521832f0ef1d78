"""Command line `kernel-lab`: parse, one facade call, one renderer. Data to stdout, the rest to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EPILOG = "Exit codes: 0 ok, 1 failed check, 2 usage, 3 not found, broken contract or ledger, 4 unreadable input, 5 missing backend, 130 interrupt."  # noqa: E501
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
CANDIDATE = click.argument("candidate", metavar="CANDIDATE")
FOLDER = click.Path(path_type=Path)


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kernel-skills", prog_name="kernel-lab")
@click.option("-C", "folder", type=FOLDER, default=Path(), help="The workspace (default: the folder you are in, or one above).")
@click.pass_context
def cli(ctx: click.Context, folder: Path) -> None:
    """Kernel lab: compile, score and judge candidate kernels against a frozen contract.

    CANDIDATE is an id (at least 8 characters of it) or a path to a packed solution.json.
    """
    ctx.obj = folder


def _open(ctx: click.Context) -> Any:
    from kernel_lab.lab import Lab

    return Lab.open(ctx.obj)


def _print(document: dict[str, Any], as_json: bool, renderer: str) -> None:
    from kernel_lab import render

    text: Callable[[dict[str, Any]], str] = getattr(render, renderer)
    click.echo(json.dumps(document, allow_nan=False) if as_json else text(document))


def _progress(step: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{step} {done}/{total}\x1b[K", nl=done >= total, err=True)


@cli.command(epilog=EPILOG)
@click.argument("path", type=FOLDER, metavar="DIR")
@click.option(
    "--dataset", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder in flashinfer-bench's layout."
)
@click.option("--definition", required=True, metavar="NAME", help="What is to be computed.")
@click.option("--baseline", required=True, metavar="SOLUTION", help="A solution.json, or the name of a solution of the dataset.")
@click.option("--arch", type=click.Choice(["sm_100a", "sm_103a", "sm_90a", "sm_120a", "cpu"]), default="sm_90a", show_default=True)
@click.option(
    "--policy",
    type=click.Choice(["leaderboard", "production"]),
    default="leaderboard",
    show_default=True,
    help="production allows library calls.",
)
@click.option(
    "--backend", type=click.Choice(["cpu", "cuda", "http", "command"]), default=None, help="Where candidates run (default: by --arch)."
)
@JSON
def init(path: Path, dataset: Path, definition: str, baseline: str, arch: str, policy: str, backend: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """Make a workspace in DIR and freeze its contract."""
    from kernel_lab.lab import Lab

    _print(Lab.init(path, dataset, definition, baseline, arch, policy, backend or "").status(), as_json, "status")


@cli.command(epilog=EPILOG)
@JSON
@click.pass_context
def freeze(ctx: click.Context, as_json: bool) -> None:
    """Freeze task.toml anew: a person's act, written to the ledger. Earlier verdicts then allow no promotion."""
    _print(_open(ctx).freeze(), as_json, "plain")


@cli.command(epilog=EPILOG)
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False, metavar="[FOLDER]")
@click.option("-o", "--out", type=FOLDER, help="Also write the packed solution here.")
@JSON
@click.pass_context
def pack(ctx: click.Context, source: Path | None, out: Path | None, as_json: bool) -> None:
    """Pack FOLDER (default src/) into a solution and keep it as a candidate."""
    _print(_open(ctx).pack(source, out), as_json, "packed")


@cli.command(epilog=EPILOG)
@CANDIDATE
@click.argument("target", type=FOLDER, metavar="FOLDER")
@JSON
@click.pass_context
def unpack(ctx: click.Context, candidate: str, target: Path, as_json: bool) -> None:
    """Write a candidate's sources into a new FOLDER."""
    _print(_open(ctx).unpack(candidate, target), as_json, "plain")


@cli.command(epilog=EPILOG)
@CANDIDATE
@JSON
@click.pass_context
def compile(ctx: click.Context, candidate: str, as_json: bool) -> None:
    """Compile CANDIDATE for the contract's architecture; no GPU is needed."""
    found = _open(ctx).compile(candidate)
    _print(found, as_json, "compiled")
    sys.exit(0 if found["ok"] else 1)


@cli.command(epilog=EPILOG)
@CANDIDATE
@JSON
@click.pass_context
def score(ctx: click.Context, candidate: str, as_json: bool) -> None:
    """Time CANDIDATE beside the baseline and the incumbent, on every workload."""
    found = _open(ctx).score(candidate, _progress)
    _print(found, as_json, "scored")
    sys.exit(0 if found["complete"] else 1)


@cli.command(epilog=EPILOG)
@CANDIDATE
@JSON
@click.pass_context
def verify(ctx: click.Context, candidate: str, as_json: bool) -> None:
    """Put CANDIDATE through every gate: pass, fail or review. Exit 0 only for a pass."""
    found = _open(ctx).verify(candidate, _progress)
    _print(found, as_json, "verdict")
    sys.exit(0 if found["verdict"] == "pass" else 1)


@cli.command(epilog=EPILOG)
@CANDIDATE
@click.option("--note", default="", help="What was tried.")
@click.option("--lesson", default="", help="What was learnt, above all from a failure.")
@click.option("--parent", metavar="CANDIDATE", help="What it was made from.")
@JSON
@click.pass_context
def record(ctx: click.Context, candidate: str, note: str, lesson: str, parent: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """Keep a note, a lesson or a parent of CANDIDATE in the ledger."""
    _print(_open(ctx).record(candidate, note=note, parent=parent, lesson=lesson), as_json, "plain")


@cli.command(epilog=EPILOG)
@CANDIDATE
@JSON
@click.pass_context
def promote(ctx: click.Context, candidate: str, as_json: bool) -> None:
    """Make CANDIDATE the incumbent. Needs a passing verdict for the same bytes and contract."""
    _print(_open(ctx).promote(candidate), as_json, "promoted")


@cli.command(epilog=EPILOG)
@click.option("--failed", is_flag=True, help="Only what did not pass, with its lessons: directions not to repeat.")
@JSON
@click.pass_context
def log(ctx: click.Context, failed: bool, as_json: bool) -> None:
    """List the candidates with verdicts, parents and lessons."""
    _print(_open(ctx).log(failed=failed), as_json, "history")


@cli.command(epilog=EPILOG)
@JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say where the work stands and what to run next."""
    _print(_open(ctx).status(), as_json, "status")


@cli.command(epilog=EPILOG)
@JSON
@click.pass_context
def audit(ctx: click.Context, as_json: bool) -> None:
    """Prove ledger, evidence and contract, or name the first broken link (exit 3)."""
    found = _open(ctx).audit()
    _print(found, as_json, "audited")
    sys.exit(0 if found["ok"] else 3)


@cli.command(epilog=EPILOG)
@JSON
def doctor(as_json: bool) -> None:
    """Say what works on this machine, what does not, and what to install."""
    from kernel_lab.lab import Lab

    found = Lab.doctor()
    _print(found, as_json, "doctored")
    sys.exit(0 if found["ok"] else 5)


def main() -> None:
    """Entry point: our errors become one line on stderr and their exit code."""
    from kernel_lab.errors import LabError

    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LabError as error:
        click.echo(f"kernel-lab: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

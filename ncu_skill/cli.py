"""Command line `ncu-skill`: the entry point. Errors become one line on stderr and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from ncu_skill.errors import NcuSkillError

if TYPE_CHECKING:
    from ncu_skill.commands import cli

__all__ = ["cli", "main"]

GARBAGE_AT = 20_000  # new objects between two collections: imports make many that stay, and looking at them again is time lost
BARE_OPTIONS = frozenset({"--json", "--show-paths"})


def __getattr__(name: str) -> Any:
    """`cli`, the group of all commands, loaded where it is asked for: the option parser costs more than a diagnosis."""
    if name != "cli":
        raise AttributeError(f"module 'ncu_skill.cli' has no attribute {name!r}")
    from ncu_skill import commands

    return commands.cli


def main() -> None:
    """Entry point."""
    gc.set_threshold(GARBAGE_AT)
    try:
        if not _diagnose(sys.argv[1:]):
            _any_command()
    except NcuSkillError as error:
        _fail(f"error: {error}", error.exit_code)
    except FileNotFoundError as error:
        _fail(f"error: {error.filename} is not installed here; run: ncu-skill doctor", 5)
    except BrokenPipeError:  # the reader of our output has gone; without this the interpreter complains when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _diagnose(words: list[str]) -> bool:
    """The usual call, `diagnose REPORT [--json] [--show-paths]`, without an option parser; False for every other one."""
    options = [word for word in words if word.startswith("-")]
    if len(words) - len(options) != 2 or words[0] != "diagnose" or not BARE_OPTIONS.issuperset(options):
        return False
    from ncu_skill import facade, render
    from ncu_skill.emit import emit

    report = next(word for word in words[1:] if word not in options)
    document = facade.diagnose(report, redact="--show-paths" not in options)
    emit(document, "--json" in options, render.diagnosis)
    return True


def _any_command() -> None:
    import click

    from ncu_skill.commands import cli

    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)


def _fail(text: str, code: int) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()

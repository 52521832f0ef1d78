"""The documents: every `kwiki` command in them is one that the command line has, and those without placeholders run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from kernelwiki.cli import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "SKILL.md", *sorted((ROOT / "references").glob("*.md"))]
CLI_REFERENCE = ROOT / "docs" / "cli.md"
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|[<>…\[\]]|\.\.\.")
NOT_RUN = ("kwiki index build", "kwiki ingest", "kwiki skill")  # slow, or they write


def commands(path: Path) -> list[str]:
    """Lines of code fences and backticked words of `path` that start with `kwiki`."""
    text = path.read_text(encoding="utf-8")
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.S | re.M)
    lines = [line.strip().removeprefix("$ ") for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    found = [re.split(r"\s+(?:#|\||>|&&|2>)", line)[0].strip() for line in [*lines, *inline]]
    return [line for line in dict.fromkeys(found) if re.match(r"kwiki( |$)", line)]


ALL = [pytest.param(line, id=f"{path.name}: {line}") for path in DOCUMENTS for line in commands(path)]


def without_quoted(line: str) -> str:
    return re.sub(r"\"[^\"]*\"|'[^']*'", "", line)


def runs(line: str) -> bool:
    """Whether `line` is a whole command: no placeholder, not just a name, quick and reading only."""
    words = line.split()
    named = words[1:] in ([], ["search"], ["show"], ["trace"])  # a tool or a verb, spoken of
    return not named and not PLACEHOLDER.search(without_quoted(line)) and not line.startswith(NOT_RUN)


RUNNABLE = [entry for entry in ALL if runs(entry.values[0])]


def command_paths(group: click.Group, context: click.Context, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command below `group` as the words that call it."""
    paths = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        paths.append((*before, name))
        if isinstance(command, click.Group):
            paths += command_paths(command, click.Context(command, parent=context), (*before, name))
    return paths


COMMANDS = command_paths(cli, click.Context(cli, info_name="kwiki", **cli.context_settings))


def parse(arguments: list[str]) -> None:
    """Walk through the groups of the command line and parse the rest with the command found; raises click.UsageError."""
    command: click.Command = cli
    context = click.Context(cli, info_name="kwiki", **cli.context_settings)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r}")
        command = found
        context = click.Context(command, info_name=name, parent=context)
    _, left, _ = command.make_parser(context).parse_args(arguments)
    if left:
        raise click.UsageError(f"too many arguments: {left}")


def test_the_documents_show_commands() -> None:
    assert len(ALL) >= 8
    assert RUNNABLE


@pytest.mark.parametrize("line", ALL)
def test_a_command_of_the_documents_parses(line: str) -> None:
    parse(shlex.split(line.replace("…", "WORDS"))[1:])


@pytest.mark.parametrize("line", RUNNABLE)
def test_a_command_of_the_documents_runs(kwiki, line: str) -> None:
    run = kwiki(*shlex.split(line)[1:])
    assert run.code == 0, run.err


@pytest.mark.parametrize("line", ["kwiki nope", "kwiki search x --nope", "kwiki index nope", "kwiki show one two"])
def test_a_command_that_does_not_exist_does_not_parse(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(shlex.split(line)[1:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_of_a_document_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    relative = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in relative if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(kwiki, path: tuple[str, ...]) -> None:
    run = kwiki(*path, "--help")
    assert (run.code, run.err) == (0, "")
    assert " ".join(path) in run.out.splitlines()[0]
    assert "--help" in run.out


@pytest.mark.skipif(not CLI_REFERENCE.is_file(), reason="docs/cli.md is not written yet")
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_cli_reference_mentions_every_command(path: tuple[str, ...]) -> None:
    assert f"kwiki {' '.join(path)}" in CLI_REFERENCE.read_text(encoding="utf-8")

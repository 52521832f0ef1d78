"""The command's entry point: the short way of `diagnose REPORT` prints what the option parser's way does; no traceback reaches a user."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ncu_skill.cli import cli

COMMAND = [sys.executable, "-m", "ncu_skill.cli"]


@pytest.mark.parametrize("options", [[], ["--json"], ["--show-paths"], ["--json", "--show-paths"]])
def test_the_short_way_prints_what_the_option_parser_prints(report_file: Path, options: list[str]) -> None:
    words = ["diagnose", str(report_file), *options]
    done = subprocess.run([*COMMAND, *words], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == CliRunner().invoke(cli, words).stdout
    assert done.stderr == ""


@pytest.mark.parametrize(("options", "parsed"), [(["--json"], False), (["--top", "1"], True)])
def test_only_a_call_with_values_loads_the_option_parser(report_file: Path, options: list[str], parsed: bool) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "ncu_skill.cli", "diagnose", str(report_file), *options]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=True)
    assert ("click.core" in done.stderr) is parsed


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["diagnose"], 2),
        (["diagnose", "a", "b"], 2),
        (["--json", "diagnose", "a"], 2),
        (["diagnose", "a", "--jsn"], 2),
        (["diagnose", "a"], 4),
    ],
)
def test_mistakes_keep_their_exit_codes_on_both_ways(words: list[str], code: int, tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, *words], capture_output=True, encoding="utf-8", check=False, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["./app", "--count", "5", "-k", "x", "-h"], ["--", "./app", "--run", "--help"]])
def test_what_stands_behind_the_applications_name_is_its_own(words: list[str]) -> None:
    done = CliRunner().invoke(cli, ["collect", "--count", "2", "-k", "gemm", *words])
    assert done.exit_code == 0
    application = [word for word in words if word != "--"]
    assert shlex.split(done.stdout)[-len(application) :] == application
    assert " -k regex:gemm -s 0 -c 2 " in done.stdout


def test_an_option_of_ncu_before_the_application_is_a_usage_error() -> None:
    done = CliRunner().invoke(cli, ["collect", "--set", "full", "./app"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--set" in done.stderr


def test_an_output_that_cannot_show_a_sign_shows_a_question_mark(report_file: Path, tmp_path: Path) -> None:
    data = report_file.read_bytes()
    name = next(name for name in (b"copy_vec4", b"adam") if name in data)
    path = tmp_path / "named.ncu-rep"
    path.write_bytes(data.replace(name, "é".encode() + name[2:]))
    done = subprocess.run(
        [*COMMAND, "diagnose", str(path)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert b"?" + name[2:] in done.stdout


@pytest.mark.parametrize("words", [["diagnose"], ["metrics", "--limit", "3000"]])
def test_a_reader_that_closes_the_pipe_gets_no_traceback(report_file: Path, words: list[str]) -> None:
    with subprocess.Popen([*COMMAND, *words, str(report_file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert b"Traceback" not in child.stderr.read()
    assert child.returncode in {0, 1}

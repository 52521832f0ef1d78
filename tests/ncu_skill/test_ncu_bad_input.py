"""Hostile and broken files give one clear error, never a traceback, a hang or a crash."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ncu_skill import diagnose, open_report
from ncu_skill.errors import NcuSkillError, UnreadableReport
from ncu_skill.vendor import VendorReader


def test_a_missing_file_a_folder_and_a_text_file_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.ncu-rep"
    text.write_text("hello", encoding="utf-8")
    empty = tmp_path / "empty.ncu-rep"
    empty.touch()
    for path in (tmp_path / "none.ncu-rep", tmp_path, text, empty):
        with pytest.raises(UnreadableReport):
            open_report(path)


def test_a_report_cut_anywhere_gives_an_error_or_a_diagnosis(report_file: Path, tmp_path: Path) -> None:
    data = report_file.read_bytes()
    places = random.Random(7)
    errors = 0
    for index in range(100):
        path = tmp_path / f"{index}.ncu-rep"
        path.write_bytes(data[: places.randrange(len(data))])
        try:
            diagnose(path)
        except NcuSkillError:
            errors += 1
        path.unlink()
    assert errors > 90


def test_a_named_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.ncu-rep"
    os.mkfifo(pipe)
    with pytest.raises(UnreadableReport, match="not a regular file"):
        open_report(pipe)


def test_a_report_without_code_or_source_is_diagnosed_without_lines(report_file: Path) -> None:
    report = open_report(report_file)
    report._shared.modules.clear()
    kernel = diagnose(report)["kernels"][0]
    assert kernel["findings"]
    assert {place["line"] for finding in kernel["findings"] for place in finding["locations"]} <= {0}


def test_a_report_with_one_section_says_what_is_missing(first_set: Path) -> None:
    kernel = diagnose(first_set / "range.ncu-rep")["kernels"][0]
    assert {"SourceCounters", "WarpStateStats", "Occupancy"} <= set(kernel["not_collected"])
    assert kernel["findings"]


def test_flipped_bytes_never_raise_anything_but_our_errors(report_file: Path, tmp_path: Path) -> None:
    data = report_file.read_bytes()
    places = random.Random(11)
    read = 0
    for index in range(40):
        damaged = bytearray(data)
        for _ in range(20):
            damaged[places.randrange(len(damaged))] = places.randrange(256)
        path = tmp_path / f"{index}.ncu-rep"
        path.write_bytes(damaged)
        try:
            diagnose(path)
            read += 1
        except NcuSkillError:
            pass
        path.unlink()
    assert read < 40


def test_random_bytes_behind_the_magic_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "random.ncu-rep"
    for seed in range(40):
        path.write_bytes(b"NVR\0" + random.Random(seed).randbytes(2000))
        with pytest.raises(UnreadableReport):
            open_report(path)


def test_a_declared_length_of_2_gb_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "long.ncu-rep"
    path.write_bytes(b"NVR\0" + struct.pack("<I", 2) + b"\x08\x07" + struct.pack("<I", 2_000_000_000) + b"\0" * 64)
    with pytest.raises(UnreadableReport, match="does not fit"):
        open_report(path)


def test_a_zstd_bomb_is_refused_and_a_packed_report_is_read(report_file: Path, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    bomb = tmp_path / "bomb.ncu-repz"
    bomb.write_bytes(zstandard.compress(b"\0" * (300 << 20), 19))
    with pytest.raises(UnreadableReport, match="bomb"):
        open_report(bomb)
    packed = tmp_path / "packed.anything"
    packed.write_bytes(zstandard.compress(report_file.read_bytes()))
    assert open_report(packed).kernel(0).duration_ns == open_report(report_file).kernel(0).duration_ns


def test_the_vendors_reader_crashing_is_an_error_not_a_crash(report_file: Path, tmp_path: Path) -> None:
    report = open_report(report_file)
    report._shared.vendor._start().kill()
    with pytest.raises(UnreadableReport, match="crashed"):
        report.kernel(0).sass([0])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["diagnose", "/nowhere.ncu-rep"], 4), (["rules", "show", "x"], 3), (["diagnose"], 2), (["collect"], 2)],
)
def test_errors_are_one_line_with_the_contracted_exit_code(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "ncu_skill.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_work_prepared_by_the_vendor_reader_changes_no_answer_and_hides_no_failure(report_file: Path, tmp_path: Path) -> None:
    plain, prepared = open_report(report_file).kernel(0), open_report(report_file).kernel(0)
    prepared.expect_sass()
    pcs = [instruction.pc for instruction in plain.instructions[:8]]
    assert prepared.sass(pcs) == plain.sass(pcs)
    assert prepared.units == plain.units
    damaged = tmp_path / "damaged.ncu-rep"
    damaged.write_bytes(b"NVR\0" + b"\xff" * 64)
    reader = VendorReader(damaged)
    reader.prepare(0, 0)
    with pytest.raises(UnreadableReport):
        reader.sass(0, [0])

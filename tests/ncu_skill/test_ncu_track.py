"""The history of a folder of reports: trajectory, best, what was resolved, and how it survives deletions, junk and two writers."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ncu_skill import history
from ncu_skill.cli import cli
from ncu_skill.errors import BadArgument, NotFound, UnreadableReport

Craft = Callable[[Path, Path, dict[str, str]], Path]


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    for name in ("transpose_conflict", "transpose_padded", "tail"):
        shutil.copy(shared / f"{name}.ncu-rep", tmp_path / f"{name}.ncu-rep")
    return tmp_path


def test_the_trajectory_shows_time_verdict_and_resolved_findings(folder: Path) -> None:
    rows = history.track(folder, kernel="transpose")["series"]
    assert [row["report"] for row in rows] == ["transpose_conflict.ncu-rep", "transpose_padded.ncu-rep"]
    assert [row["best"] for row in rows] == [False, True]
    assert rows[1]["verdict"] == "faster"
    assert rows[1]["speedup"] == rows[1]["speedup_since_first"] == pytest.approx(328.768 / 142.592)
    assert rows[1]["resolved"] == ["shared-bank-conflict"]


def test_entries_stay_when_reports_are_deleted_and_known_ones_are_not_read_again(folder: Path) -> None:
    assert len(history.track(folder, kernel="transpose")["added"]) == 3
    (folder / "transpose_conflict.ncu-rep").unlink()
    again = history.track(folder, kernel="transpose")
    assert again["added"] == []
    assert len(again["series"]) == 2


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    assert history.track(folder, write=False)["added"]
    assert sorted(folder.iterdir()) == before


def test_reports_of_other_settings_are_not_compared(folder: Path, shared: Path, crafted: Craft) -> None:
    crafted(shared / "transpose_padded.ncu-rep", folder / "locked.ncu-rep", {"--clock-control none": "--clock-control base"})
    row = next(row for row in history.track(folder, kernel="transpose")["series"] if row["report"] == "locked.ncu-rep")
    assert (row["verdict"], row["speedup"], row["against"]) == (None, None, None)


def test_junk_is_named_and_does_not_stop_the_rest(folder: Path) -> None:
    (folder / "bad.ncu-rep").write_bytes(b"junk")
    document = history.track(folder)
    assert len(document["unreadable"]) == 1
    assert "bad.ncu-rep" in document["unreadable"][0]
    assert len(document["added"]) == 3


def test_a_damaged_history_says_how_to_make_it_again(folder: Path) -> None:
    (folder / history.FILE).write_text("{", encoding="utf-8")
    with pytest.raises(UnreadableReport, match="delete it"):
        history.track(folder)


@pytest.mark.parametrize(("kernel", "error"), [("(", BadArgument), ("nosuchkernel", NotFound)])
def test_bad_patterns_are_named(folder: Path, kernel: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        history.track(folder, kernel=kernel)


def test_an_empty_or_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="ncu-skill collect"):
        history.track(tmp_path)
    with pytest.raises(NotFound, match="not a folder"):
        history.track(tmp_path / "none")


def test_two_writers_lose_no_entry(folder: Path) -> None:
    reports = sorted(folder.glob("*.ncu-rep"))
    found = [{str(index): {"sha256": str(index), "report": path.name, "created_unix": index}} for index, path in enumerate(reports)]
    writers = [threading.Thread(target=history._save, args=(folder / history.FILE, entries)) for entries in found for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stored = json.loads((folder / history.FILE).read_text(encoding="utf-8"))
    assert [entry["sha256"] for entry in stored["reports"]] == ["0", "1", "2"]


def test_the_command_prints_text_or_one_document(folder: Path) -> None:
    text = CliRunner().invoke(cli, ["track", str(folder), "--kernel", "transpose"])
    assert text.exit_code == 0
    assert "faster" in text.output
    document = json.loads(CliRunner().invoke(cli, ["track", str(folder), "--json"]).stdout)
    assert document["schema_version"] == 1

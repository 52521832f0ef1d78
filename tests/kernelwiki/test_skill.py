"""`kwiki skill`: links and copies come and go, twice is once, and what is not ours stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernelwiki import skill
from kernelwiki.errors import SkillConflict

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    return tmp_path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> skill.Source:
    """The files as a wheel holds them: inside the package, not beside it."""
    package = tmp_path / "site" / "kernelwiki"
    (package / "_skill").mkdir(parents=True)
    shutil.copy(ROOT / "SKILL.md", package / "_skill")
    shutil.copytree(ROOT / "references", package / "_skill" / "references")
    shutil.copytree(ROOT / "corpus" / "pages", package / "_corpus" / "pages")
    source = skill.Source(package, checkout=False)
    monkeypatch.setattr(skill, "find_source", lambda: source)
    return source


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_checkout_is_linked_for_both_clients_and_unlinked_again(home: Path) -> None:
    skill.install()
    for path in (home / ".claude/skills/kernel-skills", home / ".agents/skills/kernel-skills"):
        assert path.is_symlink() and (path / "SKILL.md").is_file() and (path / "corpus/pages").is_dir()
    assert [place.detail for place in skill.install()] == ["already there"] * 2
    skill.uninstall()
    assert [place.state for place in skill.status()] == ["absent"] * 2
    assert everything(home) == {}


@pytest.mark.parametrize("kind", ["checkout", "wheel"])
def test_a_copy_is_whole_stamped_and_removed_without_a_trace(home: Path, kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "wheel":
        request.getfixturevalue("wheel")
    skill.install(["claude"], copy=kind == "checkout")
    path = home / ".claude/skills/kernel-skills"
    assert not path.is_symlink()
    assert (path / "SKILL.md").read_bytes() == (ROOT / "SKILL.md").read_bytes()
    assert (path / "references/searching.md").is_file() and list((path / "corpus/pages").glob("*/*.md"))
    before = everything(path)
    assert [place.state for place in skill.status(["claude"])] == ["copy"]
    assert skill.install(["claude"], copy=kind == "checkout")[0].detail == "already there"
    assert everything(path) == before
    skill.uninstall(["claude"])
    assert not path.exists()


def test_a_copy_of_another_version_is_updated(home: Path, wheel: skill.Source) -> None:
    skill.install(["codex"])
    (wheel.root / "_skill" / "SKILL.md").write_text("newer", encoding="utf-8")
    (wheel.root / "_skill" / "references" / "searching.md").unlink()
    assert [place.state for place in skill.status(["codex"])] == ["outdated"]
    assert skill.install(["codex"])[0].detail == "updated"
    path = home / ".agents/skills/kernel-skills"
    assert (path / "SKILL.md").read_text(encoding="utf-8") == "newer"
    assert not (path / "references/searching.md").exists()


@pytest.mark.parametrize("what", ["folder", "file", "link", "broken link", "stamp of another tool"])
def test_what_is_not_ours_is_never_touched(home: Path, tmp_path: Path, what: str) -> None:
    path = home / ".claude/skills/kernel-skills"
    path.parent.mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "SKILL.md").write_text("theirs", encoding="utf-8")
    if what == "file":
        path.write_text("theirs", encoding="utf-8")
    elif "link" in what:
        path.symlink_to(other if what == "link" else tmp_path / "gone")
    else:
        shutil.copytree(other, path)
        if "stamp" in what:
            (path / skill.STAMP).write_text(json.dumps({"name": "other", "files": {"SKILL.md": ""}}), encoding="utf-8")
    before = everything(home)
    for copy in (False, True):
        with pytest.raises(SkillConflict, match="left as it is"):
            skill.install(["claude"], copy=copy)
    assert "left" in skill.uninstall(["claude"])[0].detail
    assert everything(home) == before and (path.is_symlink() or path.exists())


def test_changes_of_the_user_in_a_copy_survive(home: Path) -> None:
    skill.install(["claude"], copy=True)
    path = home / ".claude/skills/kernel-skills"
    (path / "SKILL.md").write_text("my own words", encoding="utf-8")
    (path / "notes.md").write_text("mine", encoding="utf-8")
    assert skill.status(["claude"])[0].state == "modified"
    with pytest.raises(SkillConflict):
        skill.install(["claude"], copy=True)
    detail = skill.uninstall(["claude"])[0].detail
    assert "SKILL.md" in detail and "notes.md" in detail
    assert set(everything(path)) == {"SKILL.md", "notes.md", skill.STAMP}


def test_a_stamp_cannot_name_files_outside_its_folder(home: Path) -> None:
    path = home / ".claude/skills/kernel-skills"
    path.mkdir(parents=True)
    victim = home / "victim"
    victim.write_text("precious", encoding="utf-8")
    files = {"../../../victim": skill._digest(victim)}
    (path / skill.STAMP).write_text(json.dumps({"name": skill.NAME, "version": "1", "files": files}), encoding="utf-8")
    skill.uninstall(["claude"])
    assert victim.read_text(encoding="utf-8") == "precious"


def test_one_conflict_stops_the_whole_install_before_it_writes(home: Path) -> None:
    path = home / ".agents/skills/kernel-skills"
    path.mkdir(parents=True)
    with pytest.raises(SkillConflict):
        skill.install()
    assert not (home / ".claude").exists()


def test_a_dry_run_writes_nothing(home: Path) -> None:
    assert [place.state for place in skill.install(dry_run=True)] == ["link", "link"]
    assert list(home.iterdir()) == []


def test_the_folder_of_claude_follows_its_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "elsewhere"))
    skill.install(["claude"])
    assert (home / "elsewhere/skills/kernel-skills").is_symlink()


def test_the_command_prints_states_and_exit_code_1_on_a_conflict(home: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from kernelwiki.cli import main; main()", "skill", "install", *words]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, env={**os.environ, "HOME": str(home)})

    done = run("--client", "claude", "--json")
    assert (done.returncode, json.loads(done.stdout)["places"][0]["state"]) == (0, "link")
    (home / ".agents/skills/kernel-skills").mkdir(parents=True)
    done = run()
    assert done.returncode == 1 and "left as it is" in done.stderr

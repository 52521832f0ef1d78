"""Skill: the Agent Skill `kernel-skills` in the folders of coding agents: a link to a checkout, or a copy with a stamp of its files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelwiki.errors import BadQuery, CorpusUnreadable, SkillConflict

NAME = "kernel-skills"
STAMP = ".kernel-skills.json"
CLIENTS = ("claude", "codex")
# What a copy holds; the pages go along so that an agent can read them as files.
PARTS = ("SKILL.md", "references", "corpus/pages", "corpus/LICENSE", "LICENSE")


@dataclass(frozen=True)
class Source:
    """Where the skill comes from: a checkout (its root is the skill), or the files inside an installed package."""

    root: Path
    checkout: bool

    def files(self) -> Iterator[tuple[str, Path]]:
        """(path inside the skill, file) of everything that a copy holds."""
        for part in PARTS:
            place = self._place(part)
            found = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place] if place.is_file() else []
            yield from ((part if path == place else f"{part}/{path.relative_to(place).as_posix()}", path) for path in found)

    def _place(self, part: str) -> Path:
        if self.checkout:
            return self.root / part
        inside = {"corpus/pages": "_corpus/pages", "corpus/LICENSE": "_corpus/LICENSE"}
        return self.root / inside.get(part, f"_skill/{part}")


@dataclass(frozen=True)
class Place:
    """The skill in one client: `state` is absent, link, copy, modified, outdated, broken or foreign."""

    client: str
    path: Path
    state: str
    detail: str = ""


def find_source() -> Source:
    """The skill of this installation. Raises CorpusUnreadable when its files are not there."""
    package = Path(__file__).resolve().parent
    if (package / "_skill" / "SKILL.md").is_file():
        return Source(package, checkout=False)
    if (package.parent / "SKILL.md").is_file():
        return Source(package.parent, checkout=True)
    raise CorpusUnreadable(f"{package}: no SKILL.md in it or beside it. Reinstall kernel-skills.")


def folder_of(client: str, environment: Mapping[str, str] | None = None) -> Path:
    """Where `client` looks for this skill. Raises BadQuery for a client that we do not know."""
    settings = os.environ if environment is None else environment
    if client == "claude":
        return Path(settings.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude") / "skills" / NAME
    if client == "codex":
        return Path.home() / ".agents" / "skills" / NAME
    raise BadQuery(f"--client {client}: valid are {', '.join(CLIENTS)}.")


def status(clients: Sequence[str] = ()) -> list[Place]:
    """The skill in each client as it is now."""
    source = find_source()
    return [_look(client, folder_of(client), source) for client in clients or CLIENTS]


def install(clients: Sequence[str] = (), *, copy: bool = False, dry_run: bool = False) -> list[Place]:
    """Link (from a checkout) or copy the skill into each client; what is there already and is ours is brought up to date.

    Raises SkillConflict, before anything is written, where something that is not ours or was changed stands in the way.
    """
    source = find_source()
    linked = source.checkout and not copy
    places = [_look(client, folder_of(client), source) for client in clients or CLIENTS]
    for place in places:
        if place.state in {"foreign", "modified", "broken"}:
            raise SkillConflict(f"{place.path}: {place.detail}. It was left as it is. Move it away, then run `kwiki skill install` again.")
    if not dry_run:
        for place in places:
            _put(place, source, linked)
    return [Place(place.client, place.path, "link" if linked else "copy", _what(place, linked)) for place in places]


def uninstall(clients: Sequence[str] = (), *, dry_run: bool = False) -> list[Place]:
    """Remove the skill from each client: our link, or the files that our stamp lists and nobody changed. Nothing else is touched."""
    source = find_source()
    removed = []
    for place in (_look(client, folder_of(client), source) for client in clients or CLIENTS):
        kept: list[str] = []
        if place.state == "link" and not dry_run:
            place.path.unlink()
        elif place.state in {"copy", "outdated", "modified"}:
            kept = _remove_copy(place.path, dry_run)
        said = {"absent": "was not installed", "foreign": f"left: {place.detail}", "broken": f"left: {place.detail}"}
        detail = said.get(place.state, f"kept your changes: {', '.join(kept[:5])}" if kept else "removed")
        removed.append(Place(place.client, place.path, place.state if place.state in said else "absent", detail))
    return removed


def _what(before: Place, linked: bool) -> str:
    same = before.state == ("link" if linked else "copy")
    return "already there" if same else "installed" if before.state == "absent" else "updated"


def _look(client: str, path: Path, source: Source) -> Place:
    if path.is_symlink():
        state, detail = _look_at_link(path, source)
    elif path.exists():
        state, detail = _look_at_copy(path, source)
    else:
        state, detail = "absent", ""
    return Place(client, path, state, detail)


def _look_at_link(path: Path, source: Source) -> tuple[str, str]:
    if not path.exists():
        return "broken", f"a link to {path.readlink()}, which is not there"
    if source.checkout and path.resolve() == source.root.resolve():
        return "link", str(source.root)
    return "foreign", f"a link to {path.readlink()}, which is not this installation"


def _look_at_copy(path: Path, source: Source) -> tuple[str, str]:
    stamp = _read_stamp(path)
    if stamp is None:
        return "foreign", "a folder or file that kwiki did not put there"
    yours = _remove_copy(path, dry_run=True)
    if yours:
        return "modified", f"our copy, with files of yours in it: {', '.join(yours[:3])}"
    current = {name: _digest(file) for name, file in source.files()}
    return "copy" if stamp["files"] == current else "outdated", f"version {stamp['version']}"


def _read_stamp(path: Path) -> dict[str, Any] | None:
    """The stamp of a copy of ours; None for anything else."""
    try:
        stamp = json.loads((path / STAMP).read_text(encoding="utf-8"))
        files = stamp["files"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    ours = (
        stamp.get("name") == NAME
        and isinstance(files, dict)
        and not any(".." in Path(name).parts or Path(name).is_absolute() for name in files)
    )
    return stamp if ours else None


def _digest(path: Path) -> str:
    """sha256 of a regular file, empty when there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""


def _put(place: Place, source: Source, linked: bool) -> None:
    """Replace what is ours at the place by a link or a fresh copy, written beside and renamed."""
    if place.state == ("link" if linked else "copy"):
        return
    place.path.parent.mkdir(parents=True, exist_ok=True)
    beside = place.path.with_name(f".{NAME}-{os.getpid()}")
    if linked:
        beside.symlink_to(source.root, target_is_directory=True)
    else:
        _write_copy(beside, source)
    if place.state == "link":
        place.path.unlink()
    elif place.state in {"copy", "outdated"}:
        _remove_copy(place.path, dry_run=False)
    beside.rename(place.path)


def _write_copy(folder: Path, source: Source) -> None:
    files = {}
    for name, file in source.files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        files[name] = _digest(target)
    try:
        number = version(NAME)
    except PackageNotFoundError:
        number = "unknown"
    (folder / STAMP).write_text(json.dumps({"name": NAME, "version": number, "files": files}, indent=1), encoding="utf-8")


def _remove_copy(path: Path, dry_run: bool) -> list[str]:
    """Remove the unchanged files of a copy and the folders that are empty then; the rest is returned."""
    stamp = _read_stamp(path) or {"files": {}}
    ours = {name for name, digest in stamp["files"].items() if _digest(path / name) in {digest, ""}}
    kept = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_symlink() or file.is_file()]
    kept = [name for name in kept if name not in ours and name != STAMP]
    if dry_run:
        return kept
    for name in ours:
        (path / name).unlink(missing_ok=True)
    if not kept:
        (path / STAMP).unlink(missing_ok=True)
    for folder in sorted((entry for entry in path.rglob("*") if entry.is_dir() and not entry.is_symlink()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    if not kept:
        path.rmdir()
    return kept

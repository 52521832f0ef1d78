"""Settings: what the start options of the server say, checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mcp_server.errors import BadSettings

TOOLSETS = ("wiki", "ncu", "lab")


@dataclass(frozen=True)
class Settings:
    """Roots are resolved folders; `ask_client` adds the roots that the client names; `lab` is a workspace or None."""

    roots: tuple[Path, ...]
    ask_client: bool
    toolsets: tuple[str, ...] = ("wiki", "ncu")
    lab: Path | None = None


def make_settings(
    roots: Iterable[str | Path] = (), lab: str | Path | None = None, toolsets: Iterable[str] = (), *, local: bool = True
) -> Settings:
    """Settings from start options. Without `roots`: the working directory, and on stdio (`local`) the client's roots.

    Raises BadSettings for a root or workspace that is no folder, an unknown toolset, or a lab that is not installed.
    """
    given = [Path(root).expanduser() for root in roots]
    for folder in [*given, *([Path(lab).expanduser()] if lab else [])]:
        if not folder.is_dir():
            raise BadSettings(f"{folder}: no such folder. Give an existing folder to --root and --lab.")
    chosen = tuple(dict.fromkeys(toolsets)) or ("wiki", "ncu")
    unknown = [name for name in chosen if name not in TOOLSETS[:2]]
    if unknown:
        raise BadSettings(f"--toolset {unknown[0]}: valid are wiki and ncu; the lab's tools come with --lab DIR.")
    if lab and importlib.util.find_spec("kernel_lab") is None:
        raise BadSettings("--lab: this installation has no kernel_lab. Reinstall kernel-skills, or start without --lab.")
    here = Path.cwd().resolve()
    default = [] if here == Path(here.anchor) else [here]  # started in /, everything would be allowed
    folders = tuple(folder.resolve() for folder in given) if given else tuple(default)
    return Settings(
        roots=folders,
        ask_client=local and not given,
        toolsets=(*chosen, *(("lab",) if lab else ())),
        lab=Path(lab).expanduser().resolve() if lab else None,
    )

"""Sheets: what we read in official documents, one YAML file a section (`corpus/sources/<document>/<section>.yaml`), as our own facts."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import Sheet

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SheetForm(BaseModel):
    """The YAML of a document sheet."""

    model_config = ConfigDict(extra="forbid")
    document: str = Field(min_length=3)
    version: str | int | float = ""
    title: str = Field(min_length=2)
    url: str = Field(default="", pattern=r"^(https://\S+)?$")
    facts: list[str] = Field(min_length=1)


def sheet_files(folder: Path) -> list[Path]:
    """The sheets below `folder` (`<document>/<section>.yaml`), in the order of their ids."""
    return sorted(folder.glob("*/*.yaml"))


def sheet_id(path: Path) -> str:
    """`ptx-isa/tcgen05-mma` of `.../sources/ptx-isa/tcgen05-mma.yaml`."""
    return f"{path.parent.name}/{path.stem}"


def read_sheet(path: Path) -> Sheet:
    """One document sheet; raises CorpusUnreadable naming the file and what is wrong."""
    try:
        form = SheetForm.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CorpusUnreadable(f"{path}: not a document sheet ({error}). See docs/pages.md.") from error
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CorpusUnreadable(f"{path}: {reasons}. A fact with a colon must be quoted. See docs/pages.md.") from error
    return Sheet(sheet_id(path), form.document, form.title, tuple(form.facts), str(form.version), form.url)


def find_sheet(folder: Path, name: str) -> Sheet | None:
    """The sheet `name` below `folder`; None when there is none."""
    document, _, section = name.partition("/")
    parts = (document, section)
    if not all(part and part.replace("-", "").replace(".", "").replace("_", "").isalnum() and part[0] != "." for part in parts):
        return None
    path = folder / document / f"{section}.yaml"
    return read_sheet(path) if path.is_file() else None

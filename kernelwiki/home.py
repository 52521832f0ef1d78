"""Where things are: the shipped corpus, the user's data folder, and the fingerprint that says when an index is out of date."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernelwiki.errors import CorpusUnreadable


def corpus_folder() -> Path:
    """`KWIKI_CORPUS`, else the shipped corpus: inside the installed package, or `corpus/` of a checkout."""
    setting = os.environ.get("KWIKI_CORPUS")
    if setting:
        folder = Path(setting).expanduser()
        if not (folder / "vocabulary").is_dir():
            raise CorpusUnreadable(
                f"KWIKI_CORPUS={setting}: no corpus there (a folder with records, vocabulary and pages). Unset it to use the shipped one."
            )
        return folder
    package = Path(__file__).resolve().parent
    for candidate in (package / "_corpus", package.parent / "corpus"):
        if (candidate / "vocabulary").is_dir():
            return candidate
    raise CorpusUnreadable(f"{package}: no corpus beside it. Reinstall kernel-skills.")


def default_home() -> Path:
    """`KWIKI_HOME`, else the platform's user data folder."""
    setting = os.environ.get("KWIKI_HOME")
    if setting:
        return Path(setting).expanduser()
    from platformdirs import user_data_path

    return user_data_path("kernel-skills", appauthor=False)


def temporary_home() -> Path:
    """A private folder below the system's temporary one, for when the home cannot be written."""
    folder = Path(tempfile.gettempdir()) / f"kernel-skills-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or (hasattr(os, "getuid") and info.st_uid != os.getuid()):
        raise CorpusUnreadable(f"{folder}: belongs to somebody else. Set KWIKI_HOME to a folder that you can write.")
    return folder


@dataclass(frozen=True)
class Places:
    """The folders that one knowledge base is made of."""

    corpus: Path
    home: Path

    @property
    def pages(self) -> Path:
        return self.corpus / "pages"

    @property
    def sources(self) -> Path:
        """Document sheets: what pages cite of official documents."""
        return self.corpus / "sources"

    @property
    def vocabulary(self) -> Path:
        return self.corpus / "vocabulary"

    @property
    def records(self) -> Path:
        return self.corpus / "records"

    @property
    def summaries(self) -> Path:
        return self.corpus / "summaries"

    @property
    def questions(self) -> Path:
        return self.corpus / "questions"

    @property
    def model(self) -> Path:
        return self.corpus / "model"

    @property
    def vectors(self) -> Path:
        return self.corpus / "model" / "vectors.npz"

    @property
    def own_records(self) -> Path:
        """Records that the user ingested; they stand before shipped ones of the same id."""
        return self.home / "records"

    @property
    def indexes(self) -> Path:
        return self.home / "index"

    def corpus_files(self) -> list[Path]:
        """Every shipped file that an index is derived from, in a fixed order."""
        folders = [(self.records, "*"), (self.summaries, "*"), (self.vocabulary, "*.yaml"), (self.questions, "*"), (self.pages, "*/*.md")]
        return [*(path for folder, form in folders for path in sorted(folder.glob(form))), self.model / "model.json", self.vectors]

    def own_files(self) -> list[Path]:
        """The files of the user's own records."""
        return sorted(path for path in self.own_records.glob("*") if not path.name.startswith("."))

    def fingerprint(self, *settings: str, own: bool = True) -> str:
        """16 hex digits that change when a source file's name, size or time does, or one of `settings`; `own` counts the user's files."""
        digest = hashlib.sha256()
        for path in [*self.corpus_files(), *(self.own_files() if own else ())]:
            try:
                info = path.stat()
            except OSError:
                continue
            digest.update(f"{path}\0{info.st_size}\0{info.st_mtime_ns}\n".encode())
        digest.update("\0".join(settings).encode())
        return digest.hexdigest()[:16]


def find_places(home: Path | str | None = None) -> Places:
    """The places of the knowledge base at `home` (default: `default_home()`)."""
    return Places(corpus_folder(), Path(home).expanduser() if home else default_home())

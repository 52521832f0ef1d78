"""Real reports: those of ../shared/ncu when the folder is there, and our own two corpora, unpacked once per run."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "ncu"
REPORTS = Path(__file__).parent / "reports"


def unpack(name: str, folder: Path) -> Path:
    """The files of one shipped corpus in a folder."""
    with tarfile.open(REPORTS / name) as tar:
        for member in tar.getmembers():  # our own archive; `filter` of extractall is not in every Python 3.10 and 3.11
            assert member.isfile()
            assert "/" not in member.name.removeprefix("./")
            tar.extract(member, folder)
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared reports; skips without it."""
    if not SHARED.is_dir():
        pytest.skip("../shared/ncu is not here")
    return SHARED


@pytest.fixture(scope="session")
def report_file(shared: Path) -> Path:
    return shared / "copy_vec4.ncu-rep"


@pytest.fixture(scope="session")
def first_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first corpus: cuda, python, graph and range reports, cases.txt."""
    return unpack("corpus.tar.xz", tmp_path_factory.mktemp("first_set"))


@pytest.fixture(scope="session")
def pair_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair corpus: first, second, python and again reports, index.json."""
    return unpack("pairs.tar.xz", tmp_path_factory.mktemp("pair_set"))


@pytest.fixture(scope="session")
def shape_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kernels of known shape over time: shapes, shapes_again (a second run), shapes_warm reports, shapes.cases."""
    return unpack("shapes.tar.xz", tmp_path_factory.mktemp("shape_set"))


@pytest.fixture(scope="session")
def crafted() -> Callable[[Path, Path, dict[str, str]], Path]:
    """Copies a report with strings of the same length in place of its own, so that every length in the container stays right."""

    def copy(source: Path, target: Path, changes: dict[str, str]) -> Path:
        data = source.read_bytes()
        for old, new in changes.items():
            before, after = old.encode(), new.encode().ljust(len(old.encode()))
            assert len(before) == len(after), (old, new)
            assert before in data, old
            data = data.replace(before, after)
        target.write_bytes(data)
        return target

    return copy

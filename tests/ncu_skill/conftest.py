"""Real reports: those of ../shared/ncu when the folder is there, and our own two corpora, unpacked once per run."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ncu_skill import container

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "ncu"
REPORTS = Path(__file__).parent / "reports"


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/ncu as a module."""
    spec = importlib.util.spec_from_file_location(f"ncu_benchmark_{name}", ROOT / "benchmarks" / "ncu" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


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
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small report with one full launch: a shared one, or one cut out of our own corpus."""
    if SHARED.is_dir():
        return SHARED / "copy_vec4.ncu-rep"
    whole = unpack("pairs.tar.xz", tmp_path_factory.mktemp("whole")) / "again.ncu-rep"
    data = whole.read_bytes()
    block = next(block for block in container.blocks(data) if any(item.kind == "kernel" for item in block.items))
    item = next(item for item in block.items if item.kind == "kernel")
    made: Path = benchmark("speed").file_of(data, block, data[item.start : item.end], 1, whole.with_name("one.ncu-rep"))
    return made


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

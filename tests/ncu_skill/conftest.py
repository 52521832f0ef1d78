"""Real reports: those of ../shared/ncu when the folder is there, and our own corpus when it is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "ncu"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared reports; skips without it."""
    if not SHARED.is_dir():
        pytest.skip("../shared/ncu is not here")
    return SHARED


@pytest.fixture(scope="session")
def report_file(shared: Path) -> Path:
    return shared / "copy_vec4.ncu-rep"

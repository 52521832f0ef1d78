"""What every test starts from: an environment without settings of the machine it runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

OURS = ("KWIKI_", "KERNEL_", "NCU_SKILL_", "GITHUB_TOKEN")


@pytest.fixture(autouse=True, scope="session")
def clean_environment() -> Iterator[None]:
    """No variable that a user may have set for our tools reaches a test."""
    saved = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(OURS)}
    yield
    os.environ.update(saved)

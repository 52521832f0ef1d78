"""A knowledge base of two shipped repositories with planted hostile text, real reports, and one client per transport."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client
from mcp_parts import REPORTS, REPOS, ROOT, SHARED, Caller, Places, hostile_page, hostile_record, stdio_server

from kernelwiki.reading.records import read_records, write_records
from mcp_server.server import build_server
from mcp_server.settings import make_settings


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The prepared folders; the index is built by the first server that is asked."""
    folder = tmp_path_factory.mktemp("mcp")
    corpus, home, reports = folder / "corpus", folder / "home", folder / "reports"
    for name in ("vocabulary", "model"):
        corpus.mkdir(exist_ok=True)
        (corpus / name).symlink_to(ROOT / "corpus" / name)
    (corpus / "questions").mkdir()
    shutil.copytree(ROOT / "corpus" / "pages", corpus / "pages")
    (corpus / "pages" / "pattern" / "evil-page.md").write_text(hostile_page(), encoding="utf-8")
    write_records(corpus / "records", (record for record in read_records(ROOT / "corpus" / "records") if record.repo in REPOS))
    write_records(home / "records", [hostile_record()])
    reports.mkdir()
    with tarfile.open(REPORTS) as tar:  # our own archive
        for name in ("python.ncu-rep", "range.ncu-rep", "graph.ncu-rep"):
            tar.extract(name if name in tar.getnames() else f"./{name}", reports)
    return Places(corpus, home, reports)


@pytest.fixture(autouse=True)
def _environment(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The in-memory server reads the same settings as one in a process."""
    for name, value in places.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread, for the whole session."""
    with start_blocking_portal() as found:
        yield found


@pytest.fixture(scope="session")
def callers(portal: BlockingPortal, places: Places) -> Iterator[Callable[[str], Caller]]:
    """`callers("memory")` and `callers("stdio")`: each connected once."""
    with ExitStack() as stack:
        made: dict[str, Caller] = {}

        def get(kind: str) -> Caller:
            if kind not in made:
                server: Any = (
                    build_server(make_settings([places.reports, *([SHARED] if SHARED.is_dir() else [])]))
                    if kind == "memory"
                    else stdio_server(places)
                )
                client = Client(server, mode="auto" if kind == "memory" else "legacy")
                stack.enter_context(portal.wrap_async_context_manager(client))
                made[kind] = Caller(client, portal)
            return made[kind]

        yield get


@pytest.fixture(params=["memory", "stdio"])
def caller(request: pytest.FixtureRequest, callers: Callable[[str], Caller]) -> Caller:
    """The same suite over an in-memory client and over a subprocess."""
    return replace(callers(request.param), progress=[])


@pytest.fixture
def memory(callers: Callable[[str], Caller]) -> Caller:
    return replace(callers("memory"), progress=[])


@pytest.fixture(scope="session")
def shared_reports() -> Path:
    """The shared reports; skips without them."""
    folder = ROOT.parent / "shared" / "ncu"
    if not folder.is_dir():
        pytest.skip("../shared/ncu is not here")
    return folder

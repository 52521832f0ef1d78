"""The rules of the architecture, read from the source itself: who imports whom, what help loads, one version number."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
PACKAGES = [name for name in ("kernelwiki", "ingest", "ncu_skill", "kernel_lab", "mcp_server") if (ROOT / name).is_dir()]
SOURCES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]

# (importer, what it must not import, files of the importer that may)
FORBIDDEN = [
    (
        "ingest",
        (
            "kernelwiki.searching",
            "kernelwiki.wiki",
            "kernelwiki.indexing.index",
            "kernelwiki.indexing.manage",
            "kernelwiki.cli",
            "ncu_skill",
        ),
        (),
    ),
    ("kernelwiki", ("ingest", "ncu_skill", "kernel_lab"), ("kernelwiki/cli.py",)),
    ("kernelwiki", ("ncu_skill",), ()),
    ("ncu_skill", ("kernelwiki", "ingest", "kernel_lab"), ()),
    *((package, ("mcp_server",), ()) for package in PACKAGES if package != "mcp_server"),
]
# Within kernelwiki, folders and modules from the bottom to the top: readers know nothing of engines, engines nothing of the facade,
# the facade nothing of commands.
LAYERS = [
    ("model", "errors", "tokens", "progress", "home"),
    ("reading",),
    ("indexing", "grounding"),
    ("searching",),
    ("wiki", "skill"),
    ("trace", "coverage", "page_lists", "stats", "doctor"),
    ("render",),
    ("show",),
    ("cli",),
]


def imports(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """(line, module) of every import, also inside functions, relative ones and literal `import_module` calls."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (package if node.level else "", node.module or "")))
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__"):
            yield from ((node.lineno, arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def _of(path: Path) -> Iterator[tuple[int, str]]:
    return imports(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parts[:-1]))


def _is_below(module: str, forbidden: str) -> bool:
    return module == forbidden or module.startswith(f"{forbidden}.")


@pytest.mark.parametrize(("package", "forbidden", "allowed"), FORBIDDEN, ids=[f"{row[0]}-{row[1][0]}" for row in FORBIDDEN])
def test_imports_run_downwards_only(package: str, forbidden: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in allowed
        for line, module in _of(path)
        if any(_is_below(module, name) for name in forbidden)
    ]
    assert wrong == []


def test_a_module_of_kernelwiki_imports_only_from_its_layer_or_below() -> None:
    level = {name: number for number, names in enumerate(LAYERS) for name in names}
    files = [path for path in sorted((ROOT / "kernelwiki").rglob("*.py")) if path != ROOT / "kernelwiki" / "__init__.py"]
    place = {path: path.relative_to(ROOT / "kernelwiki").parts[0].removesuffix(".py") for path in files}
    assert set(place.values()) == set(level)
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files
        for line, module in _of(path)
        if module.startswith("kernelwiki.") and module.split(".")[1] in level and level[module.split(".")[1]] > level[place[path]]
    ]
    assert wrong == []


def test_indexing_and_grounding_know_nothing_of_each_other() -> None:
    pairs = [("indexing", "kernelwiki.grounding"), ("grounding", "kernelwiki.indexing")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for folder, other in pairs
        for path in sorted((ROOT / "kernelwiki" / folder).glob("*.py"))
        for line, module in _of(path)
        if _is_below(module, other)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import mcp_server", "mcp_server"),
        ("def f():\n    from mcp_server.tools import x", "mcp_server.tools"),
        ("from kernelwiki import search", "kernelwiki.search"),
        ("from . import search", "kernelwiki.search"),
        ("from .search import x", "kernelwiki.search"),
        ("import_module('mcp_server')", "mcp_server"),
        ("importlib.import_module('mcp_server')", "mcp_server"),
    ],
)
def test_the_import_reader_sees_every_form(source: str, module: str) -> None:
    assert module in [name for _, name in imports(source, "kernelwiki")]


def test_nobody_edits_the_module_search_path() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "path" and isinstance(node.value, ast.Name) and node.value.id == "sys")
        or (isinstance(node, ast.ImportFrom) and node.module == "sys" and any(alias.name == "path" for alias in node.names))
        or (isinstance(node, ast.Attribute) and node.attr == "addsitedir")
    ]
    assert wrong == []


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds)


def _always_raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_the_embedder_catches_every_exception() -> None:
    broad = [
        (str(path.relative_to(ROOT)), node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    ]
    assert all(_always_raises_again(node) for _, node in broad), [(name, node.lineno) for name, node in broad]
    named_exception = [name for name, node in broad if not (isinstance(node.type, ast.Name) and node.type.id == "BaseException")]
    assert set(named_exception) <= {"kernelwiki/indexing/embed.py"}


@pytest.mark.parametrize("command", [("--help",), ("--version",), ("search", "--help"), ("ingest", "--help")], ids=" ".join)
def test_help_loads_nothing_heavy(command: tuple[str, ...], tmp_path: Path) -> None:
    code = "from kernelwiki.cli import main; main()"
    environment = {**os.environ, "KWIKI_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *command], capture_output=True, check=False, env=environment, encoding="utf-8"
    )
    assert done.returncode == 0 and done.stdout
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in loaded
    assert loaded.isdisjoint({"numpy", "chromadb", "pydantic", "onnxruntime", "tokenizers", "torch", "pandas", "mcp", "bm25s", "ncu_skill"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["kernelwiki.cli", "ncu_skill.cli", "kernel_lab.cli"])
def test_every_command_knows_its_short_help_and_its_version(module: str) -> None:
    cli = importlib.import_module(module).cli
    short, long, version = (CliRunner().invoke(cli, [option]) for option in ("-h", "--help", "--version"))
    assert short.exit_code == 0 and short.stdout == long.stdout
    assert version.exit_code == 0 and version.stdout.strip().endswith(importlib.metadata.version("kernel-skills"))


def test_there_is_one_version_number() -> None:
    project = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)
    skill = yaml.safe_load((ROOT / "SKILL.md").read_text(encoding="utf-8").split("---")[1])
    assert project
    assert skill["metadata"]["version"] == project.group(1) == importlib.metadata.version("kernel-skills")


def test_no_module_carries_a_version_of_its_own() -> None:
    assert [str(path) for path in SOURCES if re.search(r"^__version__\s*=\s*['\"]", path.read_text(encoding="utf-8"), flags=re.M)] == []


def test_only_the_child_process_of_ncu_skill_loads_the_vendors_library() -> None:
    """`import ncu_report` before `import onnxruntime` kills the interpreter (2025.3.1 and 1.31), and one server serves both packages."""
    importers = [
        path.relative_to(ROOT).as_posix()
        for package in ("kernelwiki", "ingest", "ncu_skill")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(alias.name == "ncu_report" for alias in node.names)
    ]
    assert importers == ["ncu_skill/vendor_worker.py"]


def test_recorded_runs_that_pages_cite_ship_with_the_package() -> None:
    """Without them `kwiki check` of an installed copy calls its own pages ungrounded."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    shipped = dict(re.findall(r'^"(benchmarks/[^"]+)" = "kernelwiki/([^"]+)"$', text, re.M))
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "corpus" / "pages").rglob("*.md"))]
    cited = {name for page in pages for name in re.findall(r'kind: run, id: "([^"]+)"', page)}
    assert cited
    assert {name for name in cited if not any(path.rpartition(".")[0] == f"benchmarks/{name}" for path in shipped)} == set()
    assert "benchmarks/snippets/h200.yaml" in shipped and all((ROOT / path).is_file() for path in shipped)
    assert all(path == place for path, place in shipped.items())

"""Snippets: the code fences of pages, compiled with nvcc and disassembled, so that each gives the instructions that it promises."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kernelwiki.errors import MissingDependency
from kernelwiki.grounding.facts import tables
from kernelwiki.grounding.problems import Problem
from kernelwiki.model import Page
from kernelwiki.reading.records import write_atomically

SECONDS = 180
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.S | re.M)
_OPCODE = re.compile(r"(?<![\w.])[A-Z][A-Z0-9]{2,}(?:\.[A-Z0-9_]+)*(?![\w.])")


@dataclass(frozen=True)
class Snippet:
    """One code fence of a page: its language, the words of its info line, and its text."""

    page: str
    number: int
    language: str
    info: str
    code: str

    @property
    def name(self) -> str:
        """`hardware/tma-0`: the page and the place of the fence in it."""
        return f"{self.page}-{self.number}"

    @property
    def settings(self) -> Mapping[str, str]:
        return dict(word.split("=", 1) for word in self.info.split() if "=" in word)

    @property
    def digest(self) -> str:
        """The code as `benchmarks/snippets` names what ran: without comments and spacing, the first 16 digits of its sha256."""
        return hashlib.sha256("".join(re.sub(r"//[^\n]*", "", self.code).split()).encode()).hexdigest()[:16]

    @property
    def expected(self) -> tuple[str, ...]:
        """What the compiled code must hold: SASS opcodes, or `ptx:` and a PTX instruction."""
        return tuple(item for item in self.settings.get("expect", "").split(",") if item)


def snippets_of(page: Page) -> list[Snippet]:
    """Every code fence of a page, in order."""
    fences = [match.groups() for part in page.sections for match in _FENCE.finditer(part.text)]
    return [Snippet(page.id, number, language, info.strip(), code) for number, (language, info, code) in enumerate(fences)]


def check_form(snippet: Snippet) -> Iterator[Problem]:
    """Problems of a fence that need no compiler: a CUDA unit names its target and an instruction, Python is Python."""
    if snippet.language == "cuda":
        if not re.fullmatch(r"sm_\d{2,3}[af]?", snippet.settings.get("arch", "")):
            yield Problem("snippet", snippet.page, "a cuda fence says its target: ```cuda arch=sm_100a expect=UTCHMMA")
        if not snippet.expected:
            yield Problem("snippet", snippet.page, "a cuda fence says what it compiles to: expect= with SASS opcodes or ptx:instruction")
    elif snippet.language == "python":
        try:
            compile(snippet.code, snippet.name, "exec")
        except (SyntaxError, ValueError) as error:
            yield Problem("snippet", snippet.page, f"the python fence {snippet.number} does not compile: {error}")


def check_compiled(pages: Iterable[Page], cache: Path, workers: int = 2) -> list[Problem]:
    """Problems of every CUDA fence: nvcc refuses it, or an instruction that it or a fact of its page promises is not there.

    Results are kept in `cache` by compiler, target and text. Raises MissingDependency without nvcc or a disassembler.
    """
    tools = find_tools()
    cache.mkdir(parents=True, exist_ok=True)
    pages = list(pages)
    units = [snippet for page in pages for snippet in snippets_of(page) if snippet.language == "cuda"]
    with ThreadPoolExecutor(workers) as pool:
        built = dict(zip((unit.name for unit in units), pool.map(lambda unit: build(unit, tools, cache), units), strict=True))
    problems = [problem for unit in units for problem in _check_unit(unit, built[unit.name])]
    for page in pages:
        listing = "\n".join(built[unit.name].sass for unit in units if unit.page == page.id)
        problems += _check_facts(page, listing)
    return problems


@dataclass(frozen=True)
class Built:
    """What nvcc made of a unit: SASS and PTX text, or the compiler's message."""

    sass: str = ""
    ptx: str = ""
    error: str = ""


@dataclass(frozen=True)
class Tools:
    """The compiler with its version, and the disassembler."""

    nvcc: str
    version: str
    cuobjdump: str


def find_tools() -> Tools:
    """nvcc on PATH, cuobjdump on PATH or installed with this Python; raises MissingDependency naming what is missing."""
    nvcc = shutil.which("nvcc")
    purelib = sysconfig.get_path("purelib")
    packaged = [str(folder) for folder in sorted(Path(purelib).glob("nvidia/*/bin"))]
    cuobjdump = shutil.which("cuobjdump") or shutil.which("cuobjdump", path=os.pathsep.join([str(Path(sys.executable).parent), *packaged]))
    if not nvcc or not cuobjdump:
        missing = "nvcc (CUDA 13 toolkit)" if not nvcc else "cuobjdump (pip install nvidia-cuda-cuobjdump)"
        raise MissingDependency(f"{missing} is not here, so no snippet can be compiled. Install it, or check without --snippets.")
    return Tools(nvcc, _version(nvcc), cuobjdump)


@lru_cache(maxsize=4)
def _version(nvcc: str) -> str:
    return subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def build(unit: Snippet, tools: Tools, cache: Path) -> Built:
    """The unit compiled and disassembled, from the cache when the same text was compiled before by the same compiler."""
    key = hashlib.sha256("\0".join((tools.version, unit.info, unit.code)).encode()).hexdigest()
    kept = cache / f"{key}.json"
    if kept.is_file():
        return Built(**json.loads(kept.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        result = _compile(unit, tools, Path(folder))
    write_atomically(kept, json.dumps(vars(result)).encode())
    return result


def _compile(unit: Snippet, tools: Tools, folder: Path) -> Built:
    source, cubin, ptx = folder / "snippet.cu", folder / "snippet.cubin", folder / "snippet.ptx"
    source.write_text(unit.code, encoding="utf-8")
    arch = unit.settings.get("arch", "").removeprefix("sm_")
    target = ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
    error = _run([tools.nvcc, *target, "-cubin", "-o", str(cubin), str(source)])
    if error:
        return Built(error=error)
    sass = subprocess.run([tools.cuobjdump, "-sass", str(cubin)], capture_output=True, text=True, check=False, timeout=SECONDS).stdout
    if any(item.startswith("ptx:") for item in unit.expected):
        error = _run([tools.nvcc, "-arch", f"compute_{arch}", "-ptx", "-o", str(ptx), str(source)])
    return Built(sass=sass, ptx=ptx.read_text(encoding="utf-8") if ptx.is_file() else "", error=error)


def _run(command: Sequence[str]) -> str:
    """The error text of a command; empty when it succeeded."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _check_unit(unit: Snippet, built: Built) -> Iterator[Problem]:
    if built.error:
        yield Problem("snippet", unit.page, f"fence {unit.number} does not compile for {unit.settings.get('arch')}: {built.error[:400]}")
        return
    for item in unit.expected:
        name = item.removeprefix("ptx:")
        text = built.ptx if item.startswith("ptx:") else built.sass
        if not holds(name, text):
            kind = "PTX" if item.startswith("ptx:") else "SASS"
            yield Problem("snippet", unit.page, f"fence {unit.number}: {name} is not in its {kind}; correct expect= or the code")


def _check_facts(page: Page, listing: str) -> Iterator[Problem]:
    """Opcodes that the facts of snippet sources name must be in the SASS of the page's own code."""
    for source in page.sources:
        if source.kind == "snippet":
            for name in dict.fromkeys(name for fact in source.facts for name in _OPCODE.findall(fact)):
                if name not in tables()["no_opcodes"] and not holds(name, listing):
                    yield Problem("snippet", page.id, f"source {source.key} names {name}, which is not in the SASS of this page's code")


def holds(name: str, listing: str) -> bool:
    """Whether a listing has the instruction `name`: whole, or with further modifiers behind it (`UTCHMMA` of `UTCHMMA.2CTA`)."""
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", listing) is not None

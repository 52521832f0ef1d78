"""Snippets: the code fences of pages, compiled with nvcc and disassembled, so that each gives the instructions that it promises."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from kernelwiki.errors import MissingDependency
from kernelwiki.grounding.facts import tables
from kernelwiki.grounding.problems import Problem
from kernelwiki.model import Page
from kernelwiki.reading.records import write_atomically

SECONDS = 180
# The Python languages that fences may be in, and the packages that compile them.
DIALECTS = {"triton": ("triton", "torch"), "cutedsl": ("nvidia-cutlass-dsl",), "tilelang": ("tilelang",)}
_ARCH = re.compile(r"sm_\d{2,3}[af]?")
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
    def dialect(self) -> str:
        """`triton`, `cutedsl` or `tilelang` of a Python fence that says so; else empty."""
        words = self.info.split()
        return words[0] if self.language == "python" and words and words[0] in DIALECTS else ""

    @property
    def archs(self) -> tuple[str, ...]:
        """The targets: one of a CUDA fence, any number of a Python fence (`arch=sm_90a,sm_100a`)."""
        return tuple(item for item in self.settings.get("arch", "").split(",") if item)

    @property
    def is_unit(self) -> bool:
        """Whether `kwiki check --snippets` compiles it."""
        return self.language == "cuda" or bool(self.dialect and self.archs)

    @property
    def runs_on_hopper(self) -> bool:
        """Whether it is a Python unit for sm_90a: `benchmarks/snippets/python_cases.py` runs all of these."""
        return bool(self.dialect) and "sm_90a" in self.archs

    @property
    def digest(self) -> str:
        """The code as `benchmarks/snippets` names what ran: without comments and spacing, the first 16 digits of its sha256."""
        bare = bare_python(self.code) if self.language == "python" else "".join(re.sub(r"//[^\n]*", "", self.code).split())
        return hashlib.sha256(bare.encode()).hexdigest()[:16]

    @property
    def expected(self) -> tuple[str, ...]:
        """What the compiled code must hold: SASS opcodes, or `ptx:` and a PTX instruction; behind `sm_90a:` for that target only.

        `BAR.ARV<MUFU` promises an order: every `BAR.ARV` before the first `MUFU`.
        """
        return tuple(item for item in self.settings.get("expect", "").split(",") if item)

    def expected_for(self, arch: str) -> tuple[str, ...]:
        """What the code for `arch` must hold."""
        parts = [(_ARCH.match(item), item) for item in self.expected]
        return tuple(item.removeprefix(f"{arch}:") for named, item in parts if named is None or item.startswith(f"{arch}:"))


def bare_python(code: str) -> str:
    """Python without comments, blank lines and spaces at the ends of lines; how far a line is indented stays, it is part of the program."""
    lines = code.splitlines()
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
    except (tokenize.TokenError, SyntaxError):
        pass  # no Python: check_form says so
    return "\n".join(line.rstrip() for line in lines if line.strip())


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
        yield from (Problem("snippet", snippet.page, f"the python fence {snippet.number} {told}") for told in _form_of_python(snippet))


def _form_of_python(snippet: Snippet) -> Iterator[str]:
    """What is wrong with the info line of a Python fence; one without settings only has to be Python."""
    if not snippet.settings:
        return
    if not snippet.dialect:
        yield f"names no language of {', '.join(DIALECTS)} before its settings: ```python triton arch=sm_90a call=f(f32[64]) expect=ptx:..."
    if not snippet.archs or not all(_ARCH.fullmatch(arch) for arch in snippet.archs):
        yield "names no target: arch=sm_90a or arch=sm_90a,sm_100a"
    for arch in snippet.archs:
        if not snippet.expected_for(arch):
            yield f"says nothing of what it compiles to for {arch}: expect= with SASS opcodes, ptx:instruction or {arch}:ptx:instruction"
    for item in snippet.expected:
        named = _ARCH.match(item)
        if named and named[0] not in snippet.archs:
            yield f"expects {item} for a target that arch= does not name"
    try:
        call = ast.parse(snippet.settings.get("call", ""), mode="eval").body
    except SyntaxError:
        call = None
    calls = call.elts if isinstance(call, ast.Tuple) else [call]
    if not calls or not all(isinstance(call, ast.Call) and isinstance(call.func, ast.Name) for call in calls):
        yield "says no call that is compiled, without spaces: call=name(bf16[300,4096],1e-6)"


def check_compiled(pages: Iterable[Page], cache: Path, workers: int = 2, python: Mapping[str, str | None] | None = None) -> list[Problem]:
    """Problems of every CUDA fence: nvcc refuses it, or an instruction that it or a fact of its page promises is not there.

    `python` is the SASS of each page's Python fences, None where they were not compiled: facts about such a page are not judged.
    Results are kept in `cache` by compiler, target and text. Raises MissingDependency without nvcc or a disassembler.
    """
    cache.mkdir(parents=True, exist_ok=True)
    pages = list(pages)
    units = [snippet for page in pages for snippet in snippets_of(page) if snippet.language == "cuda"]
    tools = find_tools() if units else None
    with ThreadPoolExecutor(workers) as pool:
        made = pool.map(lambda unit: build(unit, tools, cache), units) if tools else ()
        built = dict(zip((unit.name for unit in units), made, strict=True))
    problems = [problem for unit in units for problem in _check_unit(unit, built[unit.name])]
    for page in pages:
        other = (python or {}).get(page.id, "")
        if other is not None:
            problems += _check_facts(page, "\n".join([other, *(built[unit.name].sass for unit in units if unit.page == page.id)]))
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
    nvcc, cuobjdump = shutil.which("nvcc"), find_cuobjdump()
    if not nvcc or not cuobjdump:
        missing = "nvcc (CUDA 13 toolkit)" if not nvcc else "cuobjdump (pip install nvidia-cuda-cuobjdump)"
        raise MissingDependency(f"{missing} is not here, so no snippet can be compiled. Install it, or check without --snippets.")
    return Tools(nvcc, _version(nvcc), cuobjdump)


def find_cuobjdump() -> str | None:
    """cuobjdump on PATH or installed with this Python."""
    purelib = sysconfig.get_path("purelib")
    packaged = [str(folder) for folder in sorted(Path(purelib).glob("nvidia/*/bin"))]
    return shutil.which("cuobjdump") or shutil.which("cuobjdump", path=os.pathsep.join([str(Path(sys.executable).parent), *packaged]))


@lru_cache(maxsize=4)
def _version(nvcc: str) -> str:
    return subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def build(unit: Snippet, tools: Tools, cache: Path) -> Built:
    """The unit compiled and disassembled, from the cache when the same text was compiled before by the same compiler."""
    key = hashlib.sha256("\0".join((tools.version, unit.info, unit.code)).encode()).hexdigest()
    kept = cache / f"{key}.json"
    found = read_kept(kept)
    if found is not None:
        return Built(**found)
    with tempfile.TemporaryDirectory() as folder:
        result = _compile(unit, tools, Path(folder))
    write_atomically(kept, json.dumps(vars(result)).encode())
    return result


def read_kept(path: Path) -> dict[str, Any] | None:
    """A kept result, None when there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _compile(unit: Snippet, tools: Tools, folder: Path) -> Built:
    source, cubin, ptx = folder / "snippet.cu", folder / "snippet.cubin", folder / "snippet.ptx"
    source.write_text(unit.code, encoding="utf-8")
    arch = unit.settings.get("arch", "").removeprefix("sm_")
    target = ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
    error = run_quietly([tools.nvcc, *target, "-cubin", "-o", str(cubin), str(source)])
    if error:
        return Built(error=error)
    sass = subprocess.run([tools.cuobjdump, "-sass", str(cubin)], capture_output=True, text=True, check=False, timeout=SECONDS).stdout
    if any(item.startswith("ptx:") for item in unit.expected):
        error = run_quietly([tools.nvcc, "-arch", f"compute_{arch}", "-ptx", "-o", str(ptx), str(source)])
    return Built(sass=sass, ptx=ptx.read_text(encoding="utf-8") if ptx.is_file() else "", error=error)


def run_quietly(command: Sequence[str]) -> str:
    """The error text of a command; empty when it succeeded."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _check_unit(unit: Snippet, built: Built) -> Iterator[Problem]:
    if built.error:
        yield Problem("snippet", unit.page, f"fence {unit.number} does not compile for {unit.settings.get('arch')}: {built.error[:400]}")
        return
    yield from check_expected(unit, unit.settings.get("arch", ""), built.ptx, built.sass)


def check_expected(unit: Snippet, arch: str, ptx: str, sass: str | None) -> Iterator[Problem]:
    """Instructions that the fence promises for `arch` and that its code lacks; without SASS (None) only those of the PTX."""
    for item in unit.expected_for(arch):
        name = item.removeprefix("ptx:")
        kind, text = ("PTX", ptx) if item.startswith("ptx:") else ("SASS", sass)
        told = f"its {kind}" + (f" for {arch}" if len(unit.archs) > 1 else "")
        for reason in _broken(name, told, text) if text is not None else ():
            yield Problem("snippet", unit.page, f"fence {unit.number}: {reason}; correct expect= or the code")


def _broken(promise: str, told: str, listing: str) -> Iterator[str]:
    """What a listing lacks of one promise."""
    wanted = promise.split("<")
    found = [_places(name, listing) for name in wanted]
    yield from (f"{name} is not in {told}" for name, places in zip(wanted, found, strict=True) if not places)
    if all(found):
        for (earlier, first), (later, second) in pairwise(zip(wanted, found, strict=True)):
            if max(first) > min(second):
                yield f"in {told} {later} does not stand behind every {earlier}"


def _check_facts(page: Page, listing: str) -> Iterator[Problem]:
    """Opcodes that the facts of snippet sources name must be in the SASS of the page's own code."""
    for source in page.sources:
        if source.kind == "snippet":
            for name in dict.fromkeys(name for fact in source.facts for name in _OPCODE.findall(fact)):
                if name not in tables()["no_opcodes"] and not holds(name, listing):
                    yield Problem("snippet", page.id, f"source {source.key} names {name}, which is not in the SASS of this page's code")


def holds(name: str, listing: str) -> bool:
    """Whether a listing has the instruction `name`: whole, or with further modifiers behind it (`UTCHMMA` of `UTCHMMA.2CTA`)."""
    return bool(_places(name, listing))


def _places(name: str, listing: str) -> list[int]:
    return [found.start() for found in re.finditer(rf"(?<![\w.]){re.escape(name)}(?![\w])", listing)]

"""Python snippets: Triton, CuTe DSL and TileLang fences compiled for the GPUs they name, without a GPU, each in a process of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kernelwiki.errors import BadQuery
from kernelwiki.grounding.problems import Problem
from kernelwiki.grounding.snippets import DIALECTS, Snippet, check_expected, find_cuobjdump, read_kept, run_quietly, snippets_of
from kernelwiki.model import Page
from kernelwiki.reading.records import write_atomically

SECONDS = 180
WORKER = Path(__file__).with_name("snippet_worker.py")
_PROBE = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Outcome:
    """What was done with one fence: a line that says so, its problems, and its SASS (None when nothing was disassembled)."""

    unit: Snippet
    done: str
    problems: tuple[Problem, ...] = ()
    sass: str | None = None

    @property
    def line(self) -> str:
        return f"{self.unit.name} ({self.unit.dialect}): {self.done}"


@dataclass(frozen=True)
class Interpreter:
    """A Python and the versions of the packages that compile fences, as far as it has them."""

    path: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """What one architecture of a fence became: PTX and SASS, or the error with its line in the fence."""

    ptx: str = ""
    sass: str = ""
    note: str = ""
    error: str = ""
    line: int = 0


def compile_python(pages: Iterable[Page], cache: Path, pythons: Sequence[str] = (), workers: int = 2) -> list[Outcome]:
    """Every Python fence that names targets, compiled with the first of this interpreter and `pythons` that has its packages.

    The fence's module level and the function that `call=` names are executed: only for pages whose code you would run.
    """
    units = [unit for page in pages for unit in snippets_of(page) if unit.dialect]
    known = [probe(str(Path(path).absolute())) for path in (sys.executable, *pythons)] if any(unit.archs for unit in units) else []
    cache.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda unit: compile_unit(unit, known, cache), units))


def listings(outcomes: Iterable[Outcome]) -> dict[str, str | None]:
    """{page: SASS of its Python fences}; None where a fence was not disassembled, so that nothing can be said of its opcodes."""
    found: dict[str, str | None] = {}
    for outcome in outcomes:
        if outcome.unit.archs:
            before = found.get(outcome.unit.page, "")
            found[outcome.unit.page] = None if before is None or outcome.sass is None else f"{before}\n{outcome.sass}"
    return found


@lru_cache(maxsize=16)
def probe(path: str) -> Interpreter:
    """Which of the packages `path` has; raises BadQuery when it is no Python."""
    names = sorted({name for packages in DIALECTS.values() for name in packages})
    try:
        done = subprocess.run([path, "-I", "-c", _PROBE, *names], capture_output=True, text=True, check=True, timeout=60)
        return Interpreter(path, json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        told = f"--python {path} is no Python interpreter that starts ({error}). Give the path of one, such as .venv-lab/bin/python."
        raise BadQuery(told) from error


def compile_unit(unit: Snippet, known: Sequence[Interpreter], cache: Path) -> Outcome:
    """One fence for each of its targets, or the reason why it was not compiled."""
    if not unit.archs:
        return Outcome(unit, "byte-compiled only: the fence names no arch")
    if not unit.settings.get("call"):
        return Outcome(unit, "not compiled: the fence says no call=")  # check_form says how to mend it
    packages = DIALECTS[unit.dialect]
    python = choose(unit, known)
    if python is None:
        missing = [name for name in packages if not any(name in other.versions for other in known)] or packages
        lacks = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
        mend = f"pip install {' '.join(missing)}, or name a Python that has it: --python PATH"
        return Outcome(unit, f"not compiled: {lacks} ({mend}); byte-compiled only")
    made = {arch: compile_target(unit, arch, python, cache) for arch in unit.archs}
    told = [f"{arch} {_gave(target)}" for arch, target in made.items()]
    versions = ", ".join(f"{name} {python.versions[name]}" for name in packages)
    sass = "\n".join(target.sass for target in made.values())
    problems = tuple(problem for arch, target in made.items() for problem in _check_target(unit, arch, target))
    return Outcome(unit, f"{', '.join(told)}, by {versions}", problems, sass or None)


def choose(unit: Snippet, known: Sequence[Interpreter]) -> Interpreter | None:
    """The first interpreter that has every package of the fence's language."""
    return next((python for python in known if all(name in python.versions for name in DIALECTS[unit.dialect])), None)


def _gave(target: Target) -> str:
    if target.error:
        return "failed"
    return target.note or ("to PTX and SASS" if target.sass else "to PTX (no cuobjdump here, so no SASS)")


def _check_target(unit: Snippet, arch: str, target: Target) -> list[Problem]:
    where = f"fence {unit.number}"
    if target.error:
        line = f", line {target.line}" if target.line else ""
        return [Problem("snippet", unit.page, f"{where}{line}, does not compile for {arch}: {target.error[:600]}")]
    if target.note:
        return []
    if f".target {arch}" not in target.ptx:
        return [Problem("snippet", unit.page, f"{where}: its PTX is not for {arch}; name the target that the compiler uses")]
    return list(check_expected(unit, arch, target.ptx, target.sass or None))


def compile_target(unit: Snippet, arch: str, python: Interpreter, cache: Path) -> Target:
    """The fence for `arch`, from the cache when the same text was compiled before by the same versions and the same worker."""
    tools = (shutil.which("nvcc") or "", find_cuobjdump() or "")
    parts = (json.dumps(dict(python.versions), sort_keys=True), *tools, WORKER.read_text(encoding="utf-8"), unit.info, arch, unit.code)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    kept = cache / f"python-{key}.json"
    found = read_kept(kept)
    if found is not None:
        return Target(**found)
    with tempfile.TemporaryDirectory(prefix="kwiki-snippet-") as name:
        made = _compile(unit, arch, python, Path(name))
    if not made.note and "no end after" not in made.error:
        write_atomically(kept, json.dumps(vars(made)).encode())
    return made


def _compile(unit: Snippet, arch: str, python: Interpreter, folder: Path) -> Target:
    code = build_code(unit, arch, python, folder)
    return Target(code.ptx, disassemble(code.cubins), code.note, code.error, code.line)


@dataclass(frozen=True)
class Code:
    """What a compiler wrote: PTX and files of machine code; else a note that it stopped earlier, or the error with its line."""

    ptx: str = ""
    cubins: tuple[Path, ...] = ()
    note: str = ""
    error: str = ""
    line: int = 0


def build_code(unit: Snippet, arch: str, python: Interpreter, folder: Path) -> Code:
    """The fence's PTX and machine code for `arch`; the files lie in `folder`."""
    said = _work(unit, arch, python, folder)
    if "error" in said:
        return Code(error=re.sub(r"\x1b\[[\d;]*m", "", str(said["error"])), line=int(str(said.get("line", 0))))
    if "cuda" in said:
        made = [_nvcc(str(text), _list(said["includes"]), arch, folder / f"lowered-{at}") for at, text in enumerate(_list(said["cuda"]))]
        broken = next((code for code in made if code.error or code.note), None)
        return broken or Code("\n".join(code.ptx for code in made), tuple(path for code in made for path in code.cubins))
    cubins = []
    for number, image in enumerate(_list(said["cubins"])):
        cubins.append(folder / f"{number}.cubin")
        cubins[-1].write_bytes(base64.b64decode(str(image)))
    return Code(str(said["ptx"]), tuple(cubins))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _work(unit: Snippet, arch: str, python: Interpreter, folder: Path) -> dict[str, object]:
    """What the worker answered. It has no environment of ours but PATH, a scratch folder as its home, and `SECONDS` to end."""
    result = folder / "result.json"
    words = (folder / "words").open("w+b")
    job = json.dumps({"language": unit.dialect, "code": unit.code, "call": unit.settings["call"], "arch": arch}).encode()
    fixed = {name: str(folder) for name in ("HOME", "TMPDIR", "TEMP", "TMP")}
    environment = {**fixed, "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    with words, subprocess.Popen(
        [python.path, "-I", "-B", str(WORKER), str(result)],
        stdin=subprocess.PIPE, stdout=words, stderr=words, cwd=folder, env=environment, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            child.communicate(job, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return {"error": f"no end after {SECONDS} s: the fence or its compiler hangs"}
        finally:
            _end(child)
        if not result.is_file():
            words.seek(0)
            told = words.read()[-600:].decode("utf-8", "replace").strip()
            return {"error": f"the compiler's process ended with exit code {child.returncode}: {told}"}
    return dict(json.loads(result.read_text(encoding="utf-8")))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
    else:
        child.kill()


def _nvcc(source: str, includes: Sequence[object], arch: str, stem: Path) -> Code:
    """PTX and machine code of CUDA C++ that a Python package wrote."""
    nvcc = shutil.which("nvcc")
    if not nvcc:
        return Code(note="lowered to CUDA C++, which was not compiled: nvcc (CUDA toolkit) is not here")
    unit, cubin, ptx = (stem.with_suffix(end) for end in (".cu", ".cubin", ".ptx"))
    unit.write_text(source, encoding="utf-8")
    flags = ["-std=c++17", "-w", *(f"-I{path}" for path in includes)]
    compute = arch.replace("sm_", "compute_")
    error = run_quietly([nvcc, *flags, "-gencode", f"arch={compute},code={arch}", "-cubin", "-o", str(cubin), str(unit)])
    error = error or run_quietly([nvcc, *flags, f"-arch={compute}", "-ptx", "-o", str(ptx), str(unit)])
    if error:
        return Code(error=f"nvcc on what it was lowered to: {error}")
    return Code(ptx.read_text(encoding="utf-8"), (cubin,))


def disassemble(cubins: Iterable[Path]) -> str:
    """SASS of machine code; empty where there is no cuobjdump."""
    cuobjdump = find_cuobjdump()
    if not cuobjdump:
        return ""
    done = [
        subprocess.run([cuobjdump, "-sass", str(path)], capture_output=True, text=True, check=False, timeout=SECONDS).stdout
        for path in cubins
    ]
    return "\n".join(done)

"""Solution: a packed candidate (flashinfer-bench's solution.json), its checks, its identity, and the folder it comes from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kernel_lab.errors import BadInput, NotFound, Unreadable
from kernel_lab.files import canonical, read_json, sha256, write_whole

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

LANGUAGES = ("python", "triton", "cpp", "cuda", "tilelang")
BINDINGS = ("tvm-ffi", "torch")
SUFFIXES = {".py", ".cu", ".cuh", ".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".inl", ".txt", ".md"}
MAX_BYTES = 8 << 20


@dataclass(frozen=True)
class Solution:
    """A candidate. `document` is the JSON as packed; `id` the sha256 of its canonical form."""

    document: dict[str, Any]
    id: str

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def definition(self) -> str:
        return str(self.document["definition"])

    @property
    def language(self) -> str:
        return str(self.document["spec"]["language"])

    @property
    def binding(self) -> str:
        return str(self.document["spec"].get("binding") or "tvm-ffi")

    @property
    def entry(self) -> tuple[str, str]:
        """(file, symbol)"""
        file, _, symbol = self.document["spec"]["entry_point"].partition("::")
        return file, symbol

    @property
    def passes_outputs(self) -> bool:
        """Destination passing: the outputs are the last arguments."""
        return bool(self.document["spec"].get("destination_passing_style", True))

    @property
    def sources(self) -> dict[str, str]:
        return {item["path"]: item["content"] for item in self.document["sources"]}


def problems(data: Any) -> list[str]:
    """Everything that is wrong with a packed solution, each line naming the field."""
    if not isinstance(data, dict):
        return ["a solution is a JSON object"]
    found = [f"{key}: must be a non-empty string" for key in ("name", "definition", "author") if not _text(data.get(key))]
    found += _spec_problems(data.get("spec"))
    found += _source_problems(data.get("sources"))
    if not found and data["spec"]["entry_point"].split("::")[0] not in {item["path"] for item in data["sources"]}:
        names = ", ".join(item["path"] for item in data["sources"])
        found.append(f"spec.entry_point: the file {data['spec']['entry_point'].split('::')[0]!r} is not in sources ({names})")
    return found


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _spec_problems(spec: Any) -> list[str]:
    if not isinstance(spec, dict):
        return ["spec: must be an object with language, target_hardware and entry_point"]
    found = []
    if spec.get("language") not in LANGUAGES:
        found.append(f"spec.language: {spec.get('language')!r} is not one of {', '.join(LANGUAGES)}")
    hardware = spec.get("target_hardware")
    if not (isinstance(hardware, list) and hardware and all(_text(item) for item in hardware)):
        found.append("spec.target_hardware: must be a list with at least one name, such as cuda or cpu")
    entry = spec.get("entry_point")
    if not (_text(entry) and str(entry).count("::") == 1 and all(str(entry).split("::"))):
        found.append(f"spec.entry_point: {entry!r} is not <file>::<function>")
    if not isinstance(spec.get("destination_passing_style", True), bool):
        found.append("spec.destination_passing_style: must be true or false")
    if spec.get("binding") is not None and spec["binding"] not in BINDINGS:
        found.append(f"spec.binding: {spec['binding']!r} is not one of {', '.join(BINDINGS)}")
    if not (isinstance(spec.get("dependencies", []), list) and all(_text(item) for item in spec.get("dependencies", []))):
        found.append("spec.dependencies: must be a list of names")
    return found


def _source_problems(sources: Any) -> list[str]:
    if not (isinstance(sources, list) and sources):
        return ["sources: must be a list with at least one {path, content}"]
    found, seen = [], set()
    for index, item in enumerate(sources):
        path = item.get("path") if isinstance(item, dict) else None
        if not _text(path) or not isinstance(item.get("content"), str) or not item["content"]:
            found.append(f"sources[{index}]: must have a non-empty path and content")
            continue
        pure = PurePosixPath(str(path))
        if pure.is_absolute() or ".." in pure.parts or "\\" in str(path) or "\0" in str(path):
            found.append(f"sources[{index}].path: {path!r} must stay inside the solution (relative, no ..)")
        if pure.as_posix() in seen:
            found.append(f"sources[{index}].path: {path!r} appears twice")
        seen.add(pure.as_posix())
    return found


def solution_of(data: Any, where: str) -> Solution:
    """The solution in `data`. Raises BadInput with every problem found."""
    found = problems(data)
    if found:
        raise BadInput(f"{where} is no solution:\n  " + "\n  ".join(found))
    try:
        document = canonical(data)
    except ValueError as error:
        raise BadInput(f"{where}: {error}: a solution holds no NaN or infinity") from error
    if len(document) > MAX_BYTES:
        raise BadInput(f"{where} is {len(document)} bytes; a solution may have {MAX_BYTES}")
    return Solution(data, sha256(document))


def read_solution(path: Path) -> Solution:
    return solution_of(read_json(path), str(path))


def pack(folder: Path, overrides: dict[str, Any] | None = None) -> Solution:
    """Pack a folder: `solution.toml` or the contest's `config.toml` names it, the sources lie beside or below `solution/<language>/`.

    Raises BadInput that names the field that is wrong, NotFound when there is no such file.
    """
    folder = folder.resolve()
    path = next((item for item in (folder / "solution.toml", folder / "config.toml") if item.is_file()), None)
    if path is None:
        raise NotFound(f"{folder} has no solution.toml ([solution] name, definition, author; [build] language, entry_point)")
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: {error}") from error
    solution, build = {**config.get("solution", {}), **(overrides or {})}, dict(config.get("build", {}))
    root = _source_root(folder, str(build.get("language", "")))
    document: dict[str, Any] = {key: solution.get(key, "") for key in ("name", "definition", "author")}
    if solution.get("description"):
        document["description"] = solution["description"]
    exact = config.get("pack", {})
    document["spec"] = (
        build
        if exact
        else {
            "language": build.get("language"),
            "target_hardware": build.get("target_hardware") or (["cpu"] if build.get("language") in ("python", "cpp") else ["cuda"]),
            "entry_point": build.get("entry_point"),
            "dependencies": build.get("dependencies", []),
            "destination_passing_style": build.get("destination_passing_style", True),
        }
    )
    if build.get("binding") and not exact:
        document["spec"]["binding"] = build["binding"]
    order = {name: index for index, name in enumerate(exact.get("sources", []))}
    sources = sorted(_read_sources(root), key=lambda item: order.get(item[0], len(order)))
    document["sources"] = [{"path": name, "content": text} for name, text in sources]
    return solution_of(document, str(folder))


def _source_root(folder: Path, language: str) -> Path:
    kinds = (language, "cuda" if language == "cpp" else language, "python" if language == "triton" else language)
    return next((folder / "solution" / kind for kind in kinds if kind and (folder / "solution" / kind).is_dir()), folder)


def _read_sources(root: Path) -> list[tuple[str, str]]:
    found = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix not in SUFFIXES or any(part.startswith(".") or part == "__pycache__" for part in parts):
            continue
        if path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{path}: sources are UTF-8 text ({error})") from error
        if text:
            found.append(("/".join(parts), text))
    return found


def unpack(solution: Solution, folder: Path) -> list[Path]:
    """Write a solution's sources and a solution.toml that packs to the same fields. Refuses a folder that holds files."""
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty: name a new folder")
    written = []
    for path, content in solution.sources.items():
        write_whole(folder / path, content.encode())
        written.append(folder / path)
    if "solution.toml" not in solution.sources:
        write_whole(folder / "solution.toml", _toml(solution).encode())
        written.append(folder / "solution.toml")
    return written


def _toml(solution: Solution) -> str:
    spec = solution.document["spec"]
    keys = [key for key in ("name", "definition", "author", "description") if solution.document.get(key)]
    lines = ["[solution]", *(f"{key} = {_value(solution.document[key])}" for key in keys), "", "[build]"]
    lines += [f"{key} = {_value(value)}" for key, value in spec.items() if value is not None]
    return "\n".join([*lines, "", "[pack]", f"sources = {_value(list(solution.sources))}"]) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    import json

    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")

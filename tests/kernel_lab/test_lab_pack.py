"""Packing: sources to a solution and back; identity by content; messages that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab_parts import EXAMPLES, document

from kernel_lab.errors import BadInput, NotFound, Unreadable
from kernel_lab.solution import pack, problems, read_solution, solution_of, unpack

CONFIG = '[solution]\nname = "k"\ndefinition = "d"\nauthor = "team"\n\n[build]\nlanguage = "{language}"\nentry_point = "{entry}"\n'


def contest(folder: Path, language: str, files: dict[str, str], entry: str) -> Path:
    (folder / "config.toml").write_text(CONFIG.format(language=language, entry=entry), encoding="utf-8")
    for path, text in files.items():
        target = folder / "solution" / language / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("language", ["cuda", "triton", "python", "cpp"])
def test_the_contests_layout_packs_with_nested_folders(language: str, tmp_path: Path) -> None:
    suffix = {"cuda": "cu", "cpp": "cpp"}.get(language, "py")
    made = pack(contest(tmp_path, language, {f"main.{suffix}": "x = 1\n", f"a/b/part.{suffix}": "y = 2\n"}, f"main.{suffix}::run"))
    assert list(made.sources) == [f"a/b/part.{suffix}", f"main.{suffix}"]
    assert made.language == language and made.passes_outputs


def test_unpack_is_the_inverse_of_pack(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    first = pack(contest(tmp_path / "one", "triton", {"main.py": "x = 1\n", "a/part.py": "y = 'ü'\n"}, "main.py::run"))
    unpack(first, tmp_path / "two")
    assert pack(tmp_path / "two").id == first.id


def test_unpack_is_the_inverse_for_solutions_packed_elsewhere(tmp_path: Path) -> None:
    data = document("z", "d", "b = 1\n", more={"a.py": "a = 1\n"})
    del data["spec"]["dependencies"], data["spec"]["destination_passing_style"]
    given = solution_of(data, "test")
    unpack(given, tmp_path / "out")
    assert pack(tmp_path / "out").id == given.id


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("solutions/**/*.json")), ids=lambda path: path.stem)
def test_a_packed_example_is_read_unchanged(path: Path) -> None:
    assert read_solution(path).document == json.loads(path.read_text(encoding="utf-8"))


def test_identity_covers_every_field_that_changes_what_runs() -> None:
    base = document("k", "d", "x = 1\n")
    seen = {solution_of(base, "a").id}
    for change in ({"destination_passing_style": False}, {"entry_point": "main.py::other"}, {"binding": "torch"}, {"language": "triton"}):
        seen.add(solution_of({**base, "spec": {**base["spec"], **change}}, "a").id)
    assert len(seen) == 5
    assert solution_of(json.loads(json.dumps(base, indent=4)), "b").id in seen


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"), ({"author": 3}, "author"), ({"spec": None}, "spec"), ({"sources": []}, "sources"),
        ({"sources": [{"path": "../x.py", "content": "x"}]}, r"sources\[0\].path"), ({"sources": [{"path": "/x.py", "content": "x"}]}, r"sources\[0\].path"),  # noqa: E501
        ({"sources": [{"path": "main.py", "content": ""}]}, r"sources\[0\]"),
        ({"sources": [{"path": "main.py", "content": "x"}, {"path": "main.py", "content": "y"}]}, r"sources\[1\].path"),
        ({"sources": [{"path": "other.py", "content": "x"}]}, "spec.entry_point"),
    ],
)  # fmt: skip
def test_a_bad_solution_is_refused_with_the_field_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match=field):
        solution_of({**document("k", "d", "x = 1\n"), **change}, "test")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("language", "fortran"),
        ("target_hardware", []),
        ("entry_point", "main.py"),
        ("destination_passing_style", "yes"),
        ("binding", "x"),
        ("dependencies", "x"),
    ],
)
def test_a_bad_build_field_is_named(key: str, value: Any) -> None:
    data = document("k", "d", "x = 1\n")
    data["spec"][key] = value
    assert any(line.startswith(f"spec.{key}") for line in problems(data))


def test_all_problems_come_at_once() -> None:
    assert len(problems({"name": "", "spec": {}, "sources": [{}]})) >= 6


def test_what_is_not_there_or_not_json_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(Unreadable):
        read_solution(tmp_path / "bad.json")
    with pytest.raises(NotFound):
        read_solution(tmp_path / "none.json")
    with pytest.raises(NotFound, match=r"solution\.toml"):
        pack(tmp_path)
    with pytest.raises(BadInput, match="not empty"):
        unpack(solution_of(document("k", "d", "x = 1\n"), "t"), tmp_path)


def test_a_link_out_of_the_folder_is_not_packed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("password = 1\n", encoding="utf-8")
    (tmp_path / "c").mkdir()
    folder = contest(tmp_path / "c", "python", {"main.py": "x = 1\n"}, "main.py::run")
    (folder / "solution" / "python" / "link.py").symlink_to(secret)
    assert list(pack(folder).sources) == ["main.py"]

"""Rendering: honest text, one JSON document, and no control characters from strangers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from printed import control_characters, strings

from kernelwiki.model import Answer, ChangedFile, Evidence, Hit, Locator
from kernelwiki.render import SCHEMA_VERSION, answer_json, answer_text, clean, hit_json, links_text, page_text, record_text, to_json
from kernelwiki.show import show_item
from kernelwiki.trace import Link

HOSTILE = "\x1b[31mred\x1b[0m \x07bell \x9bC1 \u202eright-to-left\u202c \u2066isolate\u2069 zero\u200bwidth \x7fdel"
INVISIBLE = "\n\xad\u061c\u2060\ufeff\U000e0041"
HIT = Hit(
    id="kernels#1",
    kind="pr",
    title="Load a tile",
    url="https://github.com/acme/kernels/pull/1",
    match="strong",
    score=1.5,
    snippet="Adds `tma_load`.",
    archs=("sm90",),
    tags=("tma",),
    evidence=(Locator("a.cu", "1" * 40, "https://github.com/acme/kernels/blob/1/a.cu#L3", 3, "tma_load"),),
    repo="acme/kernels",
    number=1,
    merged_at="2025-01-15T10:00:00Z",
)


@pytest.mark.parametrize("char", [*"\x00\x07\x08\x1b\x1f\x7f\x85\x9b", *"\u200b\u200e\u200f\u2028\u202a\u202e\u2066\u2069", *INVISIBLE])
def test_control_and_direction_characters_are_dropped(char: str) -> None:
    assert clean(f"a{char}b") in ("ab", "a b")


@pytest.mark.parametrize("text", ["plain", "naïve café", "日本語", "🔥 emoji", "a <b> & \"c\" 'd'"])
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_a_document_says_its_schema_version_first() -> None:
    assert next(iter(json.loads(to_json({"b": 1})))) == "schema_version"
    assert json.loads(to_json({}))["schema_version"] == SCHEMA_VERSION


def test_a_hit_has_the_keys_of_the_contract() -> None:
    assert set(hit_json(HIT)) == {
        *("id", "kind", "title", "url", "match", "score", "snippet", "archs", "tags", "evidence", "repo", "number", "merged_at")
    }
    assert hit_json(HIT)["evidence"] == [
        {"path": "a.cu", "sha": "1" * 40, "url": "https://github.com/acme/kernels/blob/1/a.cu#L3", "line": 3, "text": "tma_load"}
    ]


def test_a_page_hit_has_no_repository() -> None:
    page = replace(HIT, kind="page", repo=None, number=None, merged_at=None)
    assert not {"repo", "number", "merged_at"} & set(hit_json(page))


def test_a_locator_without_line_has_no_line() -> None:
    hit = replace(HIT, evidence=(Locator("a.cu", "1" * 40, "https://x.example/a.cu"),))
    assert set(hit_json(hit)["evidence"][0]) == {"path", "sha", "url"}


def test_hostile_text_of_a_hit_reaches_neither_text_nor_json() -> None:
    hit = replace(HIT, title=HOSTILE, snippet=HOSTILE, evidence=(replace(HIT.evidence[0], path=HOSTILE, text=HOSTILE),))
    answer = Answer(query=HOSTILE, total=1, hits=(hit,))
    assert not control_characters(answer_text(answer))
    assert not control_characters(strings(json.loads(to_json(answer_json(answer)))))
    assert "red" in answer_text(answer)


def test_hostile_text_of_a_chain_is_cleaned() -> None:
    assert not control_characters(links_text([Link("api", HOSTILE, "https://x.example", HOSTILE, 3, "1" * 40)]))


def test_a_record_with_a_hostile_title_and_names_is_shown_clean(small_corpus) -> None:
    record = replace(
        small_corpus.records[0],
        title=HOSTILE,
        files=(ChangedFile(HOSTILE, 1, 1),),
        evidence=(Evidence("api", HOSTILE, HOSTILE, 3),),
    )
    assert not control_characters(record_text(record) + record_text(record, sources=True))


def test_every_command_prints_a_hostile_record_clean(small_corpus) -> None:
    first, *others = small_corpus.records
    path = f"csrc/{HOSTILE}.cuh"
    hostile = {"title": f"Load {HOSTILE} tiles", "files": (ChangedFile(path, 40, 2),), "evidence": (Evidence("api", HOSTILE, path, 12),)}
    small_corpus.write(replace(first, **hostile), *others)
    commands = (["search", "load tiles"], ["show", "kernels#1"], ["trace", "kernels#1"], ["list", "--repo", "kernels"])
    for command in (*commands, ["show", "kernels#1", "--sources"]):
        text, data = small_corpus.run(*command), small_corpus.run(*command, "--json")
        assert text.code == data.code == 0
        assert "kernels#1" in text.out
        assert "kernels#1" in strings(data.json)
        assert not control_characters(text.out + text.err + data.out + data.err + strings(data.json)), command


def test_no_match_says_so_and_names_near_terms() -> None:
    text = answer_text(Answer(query="tmeem", total=0, hits=(), suggestions=("tmem", "tma")))
    assert "No match for 'tmeem'" in text
    assert "tmem, tma" in text


def test_an_answer_says_how_many_of_how_many_it_shows() -> None:
    assert answer_text(Answer(query="x", total=17, hits=(HIT,))).endswith("1 of 17 shown.")


@pytest.mark.parametrize(("limit", "lines"), [(0, 5), (5, 5), (2, 3)])
def test_a_long_chain_is_cut_with_a_count(limit: int, lines: int) -> None:
    links = [Link("api", f"name{number}", "https://x.example") for number in range(5)]
    text = links_text(links, limit)
    assert len(text.split("\n")) == lines
    assert ("3 more" in text) == (limit == 2)


def test_a_page_is_shown_whole_or_by_section_with_or_without_sources(shipped) -> None:
    page = shipped.page("hardware/tcgen05")
    whole, part, cited = page_text(page), page_text(page, "pitfalls"), page_text(page, "pitfalls", sources=True)
    assert "## Pitfalls" in part
    assert "## How" not in part
    assert len(part) < len(whole)
    assert "[^" not in whole
    assert "## Sources" in cited
    assert "[^ptx-order]" in cited
    assert "[^ptx-shape]" not in cited


def test_a_page_says_on_what_it_rests_and_when_its_pull_requests_merged(shipped) -> None:
    item = show_item(shipped, "hardware/tma", "pitfalls")
    cited = [source for source in item.page.sources if source.kind in ("pr", "evidence")]
    last = item.text(False).splitlines()[-1]
    dates = {source.id: shipped.record(source.id).merged_at[:10] for source in cited}
    here = {source.id for source in cited if any(source.key in part.citations for part in item.page.sections if part.slug == "pitfalls")}
    assert here and last.startswith("Rests on: PTX ISA")
    assert all(f"{name} ({dates[name]})" in last for name in here)
    assert {row["id"]: row["merged_at"] for row in item.data()["sources"] if row["id"] in dates} == dates
    assert all(f"{name} (20" in item.text(True) for name in here)


def test_a_record_shows_eight_files_or_all(small_corpus) -> None:
    files = tuple(ChangedFile(f"csrc/file{number}.cu", number, 0) for number in range(12))
    record = replace(small_corpus.records[0], files=files)
    assert "4 more" in record_text(record)
    assert "file11.cu" not in record_text(record)
    assert "file11.cu" in record_text(record, sources=True)
    assert "csrc/tma_load.cuh:12" in record_text(record, sources=True)

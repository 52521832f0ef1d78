"""Pages: front-matter, sections, citations, and the shipped pages with their snippets."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.home import corpus_folder
from kernelwiki.reading.pages import page_id, prose, read_page, read_pages, sections, slug, split_front_matter, without_citations

FIRST_PAGES = {
    "hardware/block-scaled-formats",
    "hardware/cluster-launch-control",
    "hardware/mbarrier",
    "hardware/programmatic-dependent-launch",
    "hardware/tcgen05",
    "hardware/tma",
    "hardware/tmem",
    "hardware/two-cta-mma",
    "pattern/memory-latency",
    "pattern/tail-effect",
    "technique/persistent-scheduling",
    "technique/warp-specialization",
}
PAGES = read_pages(corpus_folder() / "pages")
FRONT = "---\ntitle: T\n---\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hardware" / "thing.md"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [("What it is", "what-it-is"), ("In a profile (ncu)", "in-a-profile-ncu"), ("`tcgen05.mma`!", "tcgen05-mma"), ("", "")],
)
def test_a_headings_anchor_is_lower_case_words(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_a_page_is_named_by_folder_and_file() -> None:
    assert page_id(Path("/somewhere/pages/hardware/tma.md")) == "hardware/tma"


def test_front_matter_and_body_are_split() -> None:
    assert split_front_matter(FRONT + "\n## A\n", Path("p.md")) == ({"title": "T"}, "\n## A\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("## A\n", "no front-matter"),
        ("---\ntitle: T\n", "no front-matter"),
        ("---\ntitle: [\n---\n", "not YAML"),
        ("---\n- a list\n---\n", "must be a mapping"),
        (FRONT, "not valid"),
        ("---\ntitle: T\nsources: [{key: a, colour: red}]\n---\n", "not valid"),
        ("---\ntitle: T\nsources: none\n---\n", "not valid"),
    ],
)
def test_a_page_that_is_none_is_named_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CorpusUnreadable, match=rf"thing\.md.*{reason}"):
        read_page(write(tmp_path, text))


def test_a_page_that_is_not_utf8_or_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(b"\xff\xfe")
    for wrong in (path, path.with_name("absent.md")):
        with pytest.raises(CorpusUnreadable, match=wrong.name):
            read_page(wrong)


def test_sections_begin_at_second_level_headings_only() -> None:
    body = "intro\n\n# Title\n\n## One\ntext[^a]\n\n### Sub\nmore\n\n## Two\n"
    assert [(part.slug, part.heading) for part in sections(body)] == [("one", "One"), ("two", "Two")]
    assert "### Sub" in next(sections(body)).text


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_a_heading_inside_a_code_fence_is_none(fence: str) -> None:
    body = f"## One\n\n{fence}cuda\n## not a heading\n{fence}\n\n## Two\n"
    assert [part.heading for part in sections(body)] == ["One", "Two"]
    assert "## not a heading" in next(sections(body)).text


def test_citations_are_kept_once_and_in_order() -> None:
    (part,) = sections("## A\nx[^b] y[^a.b#1] z[^b]\n")
    assert part.citations == ("b", "a.b#1")


def test_a_reader_sees_no_citation_marks() -> None:
    assert without_citations("a[^x] b[^y-1].") == "a b."


def test_prose_leaves_code_and_citations_out() -> None:
    assert prose("before[^x]\n```cuda\nint secret;\n```\nafter").split() == ["before", "after"]


def test_the_first_pages_are_there() -> None:
    assert {page.id for page in PAGES} >= FIRST_PAGES


@pytest.mark.parametrize("page", PAGES, ids=[page.id for page in PAGES])
def test_a_shipped_page_cites_known_sources_in_every_section(page) -> None:
    assert page.sections
    assert len({part.slug for part in page.sections}) == len(page.sections)
    for part in page.sections:
        assert part.citations or part.heading == "Code", part.slug
        assert all(page.source(key) for key in part.citations)
    assert page.source("no-such-key") is None

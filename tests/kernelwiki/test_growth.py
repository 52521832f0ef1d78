"""Growth: own records join an index without a whole build, replace and leave it, and rank as if it had been built at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kernelwiki import Wiki
from kernelwiki.errors import NotFound
from kernelwiki.indexing.index import read_info
from kernelwiki.indexing.manage import build_everything
from kernelwiki.model import Hunk, Record
from kernelwiki.reading.records import write_records
from kernelwiki.trace import trace

BODY = "The quixotic zephyr barrier made every consumer warp wait twice."


@pytest.fixture
def grow(small_corpus: Any, own_record: Any) -> Any:
    """`grow(record, ...)` writes the own records and opens the knowledge base again."""
    clock = iter(range(1, 1_000))

    def run(*records: Record, store: str = "exact") -> Wiki:
        folder = small_corpus.places.own_records
        write_records(folder, records)
        for path in folder.iterdir():  # a file system with coarse times must not hide a second write
            info = path.stat()
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1_000_000_000 * next(clock)))
        return Wiki.open(store=store)

    Wiki.open(store="exact")
    return run


@pytest.fixture
def own_record(new_record: Any) -> Any:
    def make(number: int, title: str, **changes: Any) -> Record:
        record: Record = new_record("acme/private", number, title, sources=("github",), **changes)
        return record

    return make


def ids(wiki: Wiki, query: str) -> list[str]:
    return [hit.id for hit in wiki.search(query, limit=10)]


def scored(wiki: Wiki, word: str) -> bool:
    """Whether a living row holds `word` in its text."""
    searcher = wiki._searcher
    scores = searcher._lexical.scores("text", searcher._lexical.columns([word]))
    return bool((scores > 0)[searcher.record_rows()].any())


def test_a_new_own_record_is_found_by_a_phrase_of_its_body_without_a_whole_build(grow: Any, own_record: Any) -> None:
    wiki = grow(own_record(3, "Faster barrier", body=BODY))
    assert (wiki.info.added, wiki.info.lineage == wiki.info.version) == (1, False)
    assert ids(wiki, "quixotic zephyr barrier")[0] == "private#3"
    assert wiki.record("private#3").body == BODY


def test_a_phrase_of_a_hunk_or_of_the_discussion_is_found(grow: Any, own_record: Any) -> None:
    hunk = Hunk("csrc/tma_load.cuh", 12, "@@ -10,2 +12,3 @@\n+  glimmer_fence_wait(slot);")
    wiki = grow(own_record(3, "Faster barrier", hunks=(hunk,), discussion=("Reviewed on the marmalade cluster.",)))
    assert ids(wiki, "glimmer_fence_wait")[0] == ids(wiki, "marmalade cluster")[0] == "private#3"


def test_a_line_of_a_diff_is_shown_with_its_place_and_the_chain_leads_there(grow: Any, own_record: Any) -> None:
    text = "@@ -10,3 +20,4 @@ void wait()\n   int phase;\n-  old_wait(slot);\n+\t\x1b[31mglimmer_fence_wait(slot);\n+  done();"
    wiki = grow(own_record(3, "Faster barrier", body=BODY, hunks=(Hunk("csrc/tma_load.cuh", 21, text),)))
    (hit,) = wiki.search("glimmer_fence_wait(slot)", limit=1)
    assert hit.snippet == 'diff: "[31mglimmer_fence_wait(slot);"'
    assert (hit.evidence[0].path, hit.evidence[0].line, hit.evidence[0].text) == ("csrc/tma_load.cuh", 21, "[31mglimmer_fence_wait(slot);")
    assert hit.evidence[0].url.endswith("/csrc/tma_load.cuh#L21")
    assert ("csrc/tma_load.cuh", 21) in {(link.path, link.line) for link in trace(wiki, "private#3")}
    (said,) = wiki.search("quixotic zephyr barrier consumer warp", limit=1)
    assert said.snippet == f'description: "{BODY}"'


def test_a_changed_own_record_stands_once_and_with_its_new_words_only(grow: Any, own_record: Any) -> None:
    grow(own_record(3, "Faster barrier", body=BODY), own_record(4, "Another one"))
    wiki = grow(own_record(3, "Faster fence", body="The obsidian lattice."), own_record(4, "Another one"))
    assert wiki.info.added == 1
    assert ids(wiki, "obsidian lattice")[0] == "private#3"
    assert not any(scored(wiki, word) for word in ("quixotic", "zephyr"))
    assert ids(wiki, "private faster fence").count("private#3") == 1
    assert [record.id for record in wiki.records()].count("private#3") == 1
    assert wiki.info.records == 5


def test_a_removed_own_record_leaves_the_index(grow: Any, own_record: Any) -> None:
    grow(own_record(3, "Faster barrier", body=BODY), own_record(4, "Another one"))
    wiki = grow(own_record(4, "Another one"))
    assert "private#3" not in ids(wiki, "quixotic zephyr barrier")
    with pytest.raises(NotFound):
        wiki.record("private#3")


def test_a_shipped_record_comes_back_when_the_own_one_that_replaced_it_is_gone(
    grow: Any, small_corpus: Any, own_record: Any, new_record: Any
) -> None:
    mine = new_record("acme/kernels", 1, "Load the A tile with the obsidian engine", body=BODY, sources=("git",))
    assert grow(mine, own_record(4, "Another one")).record("kernels#1").title == mine.title
    wiki = grow(own_record(4, "Another one"))
    assert wiki.record("kernels#1").title == small_corpus.records[0].title
    assert ids(wiki, "TMA multicast A tile").count("kernels#1") == 1


def test_a_grown_index_ranks_like_one_that_was_built_at_once(grow: Any, own_record: Any, tmp_path: Path) -> None:
    records = [own_record(number, f"Tune the {word} kernel for TMA", body=f"{word} {BODY}") for number, word in enumerate(WORDS, 1)]
    grow(*records[:3])
    grow(*records[:5])
    grown = grow(*records[1:])
    queries = [*WORDS[1:], "TMA multicast", "zephyr barrier", "register spill in the epilogue", "split KV decode"]
    answers = {query: (grown.answer(query).total, ids(grown, query)) for query in queries}
    build_everything(chroma=False, force=True)
    whole = Wiki.open(store="exact")
    assert (grown.info.added, whole.info.added) == (1, 0)
    for query in queries:
        total, found = answers[query]
        assert (whole.answer(query).total, set(ids(whole, query))) == (total, set(found)), query
        assert ids(whole, query)[0] == found[0], query


WORDS = ("granite", "obsidian", "marble", "basalt", "slate", "quartz")


def test_an_unchanged_knowledge_base_is_not_indexed_again(grow: Any, own_record: Any) -> None:
    first = grow(own_record(3, "Faster barrier"))
    folder = first.places.indexes / first.info.version
    before = (folder / "index.json").stat().st_mtime_ns
    again = Wiki.open(store="exact")
    assert again.info == first.info == read_info(folder)
    assert (folder / "index.json").stat().st_mtime_ns == before


def test_embedded_chroma_of_the_lineage_serves_a_grown_index(grow: Any, own_record: Any) -> None:
    build_everything()
    grow(own_record(3, "Faster barrier", body=BODY))
    assert build_everything()["store"] == "chroma (embedded)"
    chroma, exact = Wiki.open(store="chroma"), Wiki.open(store="exact")
    for query in ("faster barrier", "split KV decode", "zephyr"):
        assert ids(chroma, query) == ids(exact, query), query
    assert ids(chroma, "quixotic zephyr barrier")[0] == "private#3"

"""Make `corpus/model/vectors.npz`: the vectors of everything that the index embeds, computed once with the shipped model.

    python training/embed_corpus.py

Vectors that are there already for the same model and text are kept, so a second run after a small change is quick.
"""

from __future__ import annotations

import time

import numpy as np

from kernelwiki.home import find_places
from kernelwiki.indexing.documents import document_texts, record_document, section_document, term_texts
from kernelwiki.indexing.embed import OnnxEmbedder, VectorCache, embed_cached, text_key
from kernelwiki.reading.pages import read_pages
from kernelwiki.reading.questions import read_questions
from kernelwiki.reading.records import read_records
from kernelwiki.reading.summaries import read_summaries, with_summary
from kernelwiki.reading.vocabulary import Vocabulary, read_terms


def main() -> None:
    places = find_places()
    terms = read_terms(places.vocabulary)
    vocabulary = Vocabulary.of(terms)
    questions = read_questions(places.questions)
    summaries = read_summaries(places.summaries)
    records = (with_summary(record, summaries) for record in read_records(places.records))
    documents = [record_document(record, vocabulary, questions.get(record.id, ())) for record in records]
    documents += [section_document(page, section, vocabulary) for page in read_pages(places.pages) for section in page.sections]
    phrases = [text for term in terms for text in term_texts(term)]
    texts = sorted({*phrases, *(text for document in documents for text in document_texts(document))})
    embedder = OnnxEmbedder(places.model)
    started, done = time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if done % 3200 < count:
            print(f"{done} of {len(texts)}, {time.monotonic() - started:.0f} s", flush=True)

    vectors = embed_cached(embedder, VectorCache(places.vectors), texts, advance)
    keys = np.array([text_key(embedder.id, text) for text in texts], dtype=np.uint64)
    VectorCache.save(places.vectors, keys, vectors)
    print(f"{len(texts)} vectors, {places.vectors.stat().st_size / 1e6:.1f} MB, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

"""Indexing: from corpus values to the arrays, vectors and stores that a search reads."""

"""Grounding: whether every sentence of the corpus stands in the source that it cites, and every snippet compiles."""

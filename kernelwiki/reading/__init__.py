"""Reading: the corpus as values: records, pages, summaries, questions, vocabulary, document sheets, and the own text of a user."""

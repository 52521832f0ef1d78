"""Page: one launch as a self-contained HTML file or as Markdown: summary, findings, charts, timeline, annotated source."""

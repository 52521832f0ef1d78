"""Searching: from a query to ranked hits over one open index."""

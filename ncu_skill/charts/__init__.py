"""Charts: matplotlib figures of timelines, rooflines, stalls and instruction mixes, for files and for the HTML page."""

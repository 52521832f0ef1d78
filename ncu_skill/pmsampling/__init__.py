"""PM sampling: the launch over time, aligned over passes: series, phases, shape."""

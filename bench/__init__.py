"""The benchmark: what it runs, on which sets, and its table."""

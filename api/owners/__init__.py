"""Whoever a key belongs to: limits, usage, keys."""

"""Readers: every kind of source becomes one list of image records."""

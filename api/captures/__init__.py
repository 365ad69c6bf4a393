"""Captures, their files, and uploads in parts."""

"""Weights of learned models: which there are, where they lie, and how they come here. Nothing is ever downloaded unasked."""

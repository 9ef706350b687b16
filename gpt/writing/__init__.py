"""Sampling, and the stream of text that comes of it."""

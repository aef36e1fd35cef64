"""Composition roots: one file a process."""

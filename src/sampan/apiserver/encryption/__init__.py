"""Stored values encrypted at rest: what is configured, how a value is sealed, and the store that does it."""

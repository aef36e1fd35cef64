"""Consistent storage with notification: bytes, revisions and watches, no objects."""

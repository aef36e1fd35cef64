"""Kinds times storage: how objects are stored, cached, listed and changed."""

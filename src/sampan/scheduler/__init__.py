"""Chooses a node for every pod."""

"""The built-in kinds: a folder a group, a file a kind."""

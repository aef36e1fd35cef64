"""The cluster under virtual time."""

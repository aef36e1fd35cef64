"""Kubernetes' own CEL functions, a library a file."""

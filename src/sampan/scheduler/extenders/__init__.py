"""Extenders: HTTP services that are asked about a pod beside the plugins (upstream's v1 extender API)."""

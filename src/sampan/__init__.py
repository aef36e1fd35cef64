"""sampan: a complete Kubernetes, written in Python."""

__version__ = "0.1.0"

KUBERNETES_VERSION = "1.37.0"
"""The upstream release whose API sampan speaks; what /version and the kubelet report as `v1.37.0+sampan`."""

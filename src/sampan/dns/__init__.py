"""Cluster DNS: the names of Services and pods, after Kubernetes' DNS-Based Service Discovery 1.1.0."""

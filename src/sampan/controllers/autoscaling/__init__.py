"""HorizontalPodAutoscaler: from readings to replicas."""

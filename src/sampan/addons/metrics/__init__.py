"""What nodes and pods use now: metrics.k8s.io, for `kubectl top` and HorizontalPodAutoscalers."""

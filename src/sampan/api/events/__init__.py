"""events.k8s.io/v1: Event, the second view of core/v1 Event."""

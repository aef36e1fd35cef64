"""Access to a Kubernetes API: verbs, informers, events, leader election."""

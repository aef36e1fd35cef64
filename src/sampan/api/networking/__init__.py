"""networking.k8s.io/v1: Ingress, NetworkPolicy, address bookkeeping."""

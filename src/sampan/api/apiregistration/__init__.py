"""apiregistration.k8s.io: API groups that another server answers."""

"""storagemigration.k8s.io: stored objects brought to the present storage version."""

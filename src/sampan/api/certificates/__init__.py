"""certificates.k8s.io/v1: signing requests and trust bundles."""

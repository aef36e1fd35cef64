"""flowcontrol.apiserver.k8s.io: which requests wait when the API server has too many."""

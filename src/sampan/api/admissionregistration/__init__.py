"""admissionregistration.k8s.io/v1: admission webhooks and policies."""

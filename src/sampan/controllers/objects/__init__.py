"""Controllers of all objects alike: garbage, namespaces, quotas, storage versions, policies."""

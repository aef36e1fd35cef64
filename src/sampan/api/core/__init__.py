"""The core group (v1): pods, services, configuration, nodes, namespaces, storage claims."""

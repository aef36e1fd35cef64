"""Controllers of claims and volumes: binding, expansion, protection, attachment."""

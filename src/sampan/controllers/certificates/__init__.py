"""Controllers of trust: certificate requests, published authorities, bootstrap tokens."""

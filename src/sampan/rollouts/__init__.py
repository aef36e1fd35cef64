"""Blue-green and canary releases."""

"""Several nodes on one machine: a network namespace a node."""

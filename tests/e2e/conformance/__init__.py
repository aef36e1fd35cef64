"""What upstream's conformance tests ask of nodes, networks, volumes and the scheduler, as the same API calls."""

"""CustomResourceDefinitions at work: each becomes a `Kind` at run time, and goes with all its objects."""

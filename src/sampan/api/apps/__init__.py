"""apps/v1: the workload controllers' kinds."""

"""Measured figures, never timed tests. `make bench` runs every benchmark and prints each figure with its ratio to a
calibration taken in the same run, because machines differ and are noisy."""

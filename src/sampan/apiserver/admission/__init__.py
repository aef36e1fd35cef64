"""Admission: may this write go in, and in what form? One plugin a file; `table.py` has their order."""

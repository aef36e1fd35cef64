"""Admission policies: CEL expressions that may refuse or change a write, with bindings that say where."""

"""Dynamic resource allocation: which devices a claim gets (KEP-4381)."""

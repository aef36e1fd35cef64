"""Admission webhooks: programs of the user that may change or refuse a write."""

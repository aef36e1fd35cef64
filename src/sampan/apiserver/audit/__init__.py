"""Who did what, when: the audit log."""

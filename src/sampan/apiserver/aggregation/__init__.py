"""API aggregation: groups that another server answers, reached through this one."""

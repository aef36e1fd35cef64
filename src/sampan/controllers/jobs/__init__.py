"""Controllers of what ends: Job, CronJob, and the removal of what has ended."""

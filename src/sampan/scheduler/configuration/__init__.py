"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): read, defaulted, validated, turned into profiles."""

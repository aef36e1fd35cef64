"""The node API over HTTPS: logs, exec, attach, port-forward, statistics, health."""

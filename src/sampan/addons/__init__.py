"""What a cluster can live without: ingress, metrics, logging, dashboard, storage."""

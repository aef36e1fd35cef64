"""Controllers of what keeps pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, and the budgets over them."""

"""Controllers of nodes: health, taints, ranges, and pods whose node is gone."""

"""NetworkPolicies: from the objects to nftables rules, and the agent that keeps a node's kernel so."""

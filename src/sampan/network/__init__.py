"""The pod network: CNI configuration and routes between nodes."""

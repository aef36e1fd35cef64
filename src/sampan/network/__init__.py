"""The pod network of a node: its CNI configuration, and the routes to the pods of other nodes."""

"""What a person types. The commands know no composition: what they do to a cluster is behind `operations`."""

"""What a cluster may have beside its core: each a folder that the rest can live without."""

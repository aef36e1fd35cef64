"""The default StorageClass: volumes that are directories of a node."""

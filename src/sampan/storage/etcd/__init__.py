"""etcd as the store: consistent across several API servers and machines."""

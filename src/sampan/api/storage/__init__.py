"""storage.k8s.io/v1: storage classes, CSI drivers, attachments."""

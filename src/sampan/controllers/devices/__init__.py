"""Controllers of devices: claims, and pods on devices with taints."""

"""The container runtime interface: client, containerd as a child process, images."""

"""What streams: exec, attach, port-forward, log and proxy, between clients and kubelets."""

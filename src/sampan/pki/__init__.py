"""Certificate authority, certificates and their rotation, tokens, kubeconfig."""

"""OpenID Connect: people who prove who they are with a token of an issuer outside the cluster."""

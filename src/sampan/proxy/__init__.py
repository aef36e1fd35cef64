"""The service proxy of a node: Services and EndpointSlices in, nftables rules out."""

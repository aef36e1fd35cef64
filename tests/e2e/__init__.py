"""Real clusters, made and removed by the tests, used through plain kubectl."""

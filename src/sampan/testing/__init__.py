"""Published suites and the pytest plugin."""

"""Controllers behind Services: endpoints, endpoint slices, service ranges."""

"""The loop that every controller shares: observe, compare, act."""

"""How many requests at once."""

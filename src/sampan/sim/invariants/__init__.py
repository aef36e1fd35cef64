"""What must hold after every write to the store, whatever goes wrong."""

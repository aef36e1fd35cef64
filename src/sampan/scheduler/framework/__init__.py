"""The scheduling framework: extension points as protocols, what passes between them, and their runner."""

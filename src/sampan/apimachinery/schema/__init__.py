"""The shapes of objects: upstream's definitions, compiled once into fast decoding functions and patch keys."""

"""What an evaluation really costs: a second evaluator that counts, and bounds that tell when none is needed."""

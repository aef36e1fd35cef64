"""What goes wrong, as data: kinds of faults, and plans of them that are drawn from a seed."""

"""What clusters are asked to do in simulation: one scenario a file, `table.py` lists them."""

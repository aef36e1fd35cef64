"""Authentication: who asks? One mechanism a file; `table.py` has their order."""

"""The built-in plugins, a file each; `table.py` lists them in order."""

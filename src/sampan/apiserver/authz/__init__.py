"""Authorisation: may this user do this? One mechanism a file; `table.py` has their order."""

"""The rules of scheduling once more: slow, plain, and written from the documentation instead of from our plugins.

Each file is one rule over plain documents, recounting everything every time. Tests compare what the scheduler decides
with what these say.
"""

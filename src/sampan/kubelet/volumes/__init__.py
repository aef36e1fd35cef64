"""The kinds of volume, a file each, and what they share: atomic files, mounts, subPath."""

"""Server-side apply: who owns which field, and what happens when two want the same one."""

from sampan.apimachinery.apply.apply import ApplyConflict, apply, update_managers

__all__ = ["ApplyConflict", "apply", "update_managers"]

"""Which node a user is: the kubelet of NAME authenticates as `system:node:NAME` in the group system:nodes."""

from __future__ import annotations

from sampan.apimachinery.http import UserInfo

PREFIX = "system:node:"
GROUP = "system:nodes"


def node_name(user: UserInfo) -> str | None:
    """The node's name, "" for a member of system:nodes without a proper name, None for everybody else."""
    if GROUP not in user.groups:
        return None
    return user.name[len(PREFIX):] if user.name.startswith(PREFIX) else ""

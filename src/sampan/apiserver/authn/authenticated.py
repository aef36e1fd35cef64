"""The group of everybody whose credentials were found good."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sampan.apimachinery.http import UserInfo

AUTHENTICATED: Final = "system:authenticated"


def with_group(user: UserInfo) -> UserInfo:
    """`user` as a member of system:authenticated."""
    if AUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))

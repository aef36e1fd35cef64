"""Whoever shows no credentials is system:anonymous; what that may do (health, version) is for the roles to say."""

from __future__ import annotations

from sampan.apimachinery.http import UserInfo
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts

ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))


class Anonymous:
    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        return ANONYMOUS


def build(parts: ServerParts) -> Anonymous | None:
    return Anonymous() if parts.config.anonymous else None

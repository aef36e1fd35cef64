"""Whoever shows no credentials is system:anonymous; what that may do (health, version) is for the roles to say.

An AuthenticationConfiguration may forbid it, or allow it for some paths only.
"""

from __future__ import annotations

from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.oidc.configuration import AuthenticationConfiguration, parse
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts

ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))


class Anonymous:
    """`allowed` is what holds where the configuration says nothing."""

    def __init__(
        self, allowed: bool = True, configuration: WatchedFile[AuthenticationConfiguration] | None = None
    ) -> None:
        self._allowed = allowed
        self._configuration = configuration

    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        if self._configuration is not None:
            found = self._configuration.get()
            if found.anonymous is not None:
                fits = not found.anonymous_paths or ctx.request.path in found.anonymous_paths
                return ANONYMOUS if found.anonymous and fits else None
        return ANONYMOUS if self._allowed else None


def build(parts: ServerParts) -> Anonymous | None:
    config = parts.config
    if config.authentication_config_file:
        return Anonymous(config.anonymous, WatchedFile(config.authentication_config_file, parse))
    return Anonymous() if config.anonymous else None

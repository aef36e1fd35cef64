"""Who may use the node's API: a verified client certificate or a bearer token, then the API server's word.

Members of system:masters may do everything. Everyone else is asked about with a SubjectAccessReview on the node's
subresource that the path stands for (upstream's fine-grained kubelet authorisation), with `proxy` as the fallback.
"""

from __future__ import annotations

from sampan.apimachinery.http import Request, UserInfo
from sampan.client.client import Client
from sampan.client.reviews import Reviews

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


_OWN = (
    ("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/checkpoint", "checkpoint"),
    ("/statusz", "statusz"), ("/flagz", "configz"),
)
"""Paths whose subresource `proxy` does not stand for."""
_STREAMS = ("exec", "attach", "portForward", "run", "cri")


def verb_of(method: str, path: str) -> str:
    """The verb that a request needs. A WebSocket has to be a GET, but whoever runs something must be allowed to create.

    Without this, reading nodes/proxy, which many monitoring roles may, would be running anything on the node.
    """
    if path.strip("/").partition("/")[0] in _STREAMS:
        return "create"
    return _VERBS.get(method, "get")


def subresources(path: str) -> tuple[str, ...]:
    """Which of nodes/… a path needs; any one of them is enough."""
    for prefix, name in _OWN:
        if path == prefix or path.startswith(prefix + "/"):
            return (name,)
    if path in ("/pods", "/pods/", "/runningpods", "/runningpods/"):
        return ("pods", "proxy")
    if path.startswith("/healthz"):
        return ("healthz", "proxy")
    if path.startswith("/configz"):
        return ("configz", "proxy")
    return ("proxy",)


class NodeAuth:
    """`authenticate` finds who asks, `authorize` whether they may."""

    def __init__(self, client: Client, node_name: str) -> None:
        self._reviews = Reviews(client)
        self._node_name = node_name

    async def authenticate(self, request: Request) -> UserInfo | None:
        """None for strangers."""
        if request.user is not None:
            return request.user
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return await self._reviews.user_of_token(token.strip())

    async def authorize(self, user: UserInfo, method: str, path: str) -> bool:
        """Whether `user` may."""
        for name in subresources(path):
            attributes = {
                "verb": verb_of(method, path), "version": "v1", "resource": "nodes", "subresource": name,
                "name": self._node_name,
            }
            if await self._reviews.allowed(user, {"resourceAttributes": attributes}):
                return True
        return False

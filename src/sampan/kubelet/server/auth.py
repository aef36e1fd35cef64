"""Who may use the node's API: a verified client certificate or a bearer token, then the API server's word.

Members of system:masters may do everything. Everyone else is asked about with a SubjectAccessReview on the node's
subresource that the path stands for (upstream's fine-grained kubelet authorisation), with `proxy` as the fallback.
Answers are kept for a while, as upstream's webhook caches do.
"""

from __future__ import annotations

from sampan import effects
from sampan.api.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, UserInfo
from sampan.client.client import Client

ALLOWED_S = 300.0
DENIED_S = 30.0
AUTHENTICATED_S = 120.0
MAX_KEPT = 1000

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


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
    for prefix, name in (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/checkpoint", "checkpoint")):
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
        self._client = client
        self._node_name = node_name
        self._users: dict[str, tuple[float, UserInfo | None]] = {}
        self._answers: dict[tuple[str, tuple[str, ...], str, str], tuple[float, bool]] = {}

    async def authenticate(self, request: Request) -> UserInfo | None:
        """None for strangers."""
        if request.user is not None:
            return request.user
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return await self._review_token(token.strip())

    async def _review_token(self, token: str) -> UserInfo | None:
        known = self._users.get(token)
        if known is not None and known[0] > effects.monotonic():
            return known[1]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            status = (await self._client.create(TOKEN_REVIEWS, body)).get("status") or {}
        except errors.APIError:
            return None
        user = None
        if status.get("authenticated"):
            found = status.get("user") or {}
            user = UserInfo(found.get("username", ""), found.get("uid", ""), tuple(found.get("groups") or ()))
        if len(self._users) >= MAX_KEPT:
            self._users.clear()
        self._users[token] = (effects.monotonic() + AUTHENTICATED_S, user)
        return user

    async def authorize(self, user: UserInfo, method: str, path: str) -> bool:
        """Whether `user` may."""
        if "system:masters" in user.groups:
            return True
        for name in subresources(path):
            if await self._may(user, verb_of(method, path), name):
                return True
        return False

    async def _may(self, user: UserInfo, verb: str, subresource: str) -> bool:
        key = (user.name, user.groups, verb, subresource)
        known = self._answers.get(key)
        if known is not None and known[0] > effects.monotonic():
            return known[1]
        attributes = {
            "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self._node_name
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user.name, "groups": list(user.groups), "uid": user.uid, "resourceAttributes": attributes},
        }
        try:
            answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, body)
        except errors.APIError:
            return False
        allowed = bool((answer.get("status") or {}).get("allowed"))
        if len(self._answers) >= MAX_KEPT:
            self._answers.clear()
        self._answers[key] = (effects.monotonic() + (ALLOWED_S if allowed else DENIED_S), allowed)
        return allowed

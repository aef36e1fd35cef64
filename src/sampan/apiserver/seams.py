"""The shapes of the server's exchangeable parts: who asks, may they, should it, and what else answers.

Every part is built by a function `build(parts) -> part | None` (None: not configured); the tables
`authn.table.AUTHENTICATORS`, `authz.table.AUTHORIZERS`, `admission.table.ADMISSION` and the `ROUTES` of handlers and
streams list them, in order, as one literal each. Parts do not know their neighbours.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from sampan.api.kind import Kind
from sampan.apimachinery.http import Response, Transport, UserInfo
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.selectors import Requirement
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.reinvocation import Reinvocation
from sampan.client.client import Client

Objects: TypeAlias = Sequence[Object]
Next: TypeAlias = Callable[[RequestContext], Awaitable[Response]]
Link: TypeAlias = Callable[[RequestContext, Next], Awaitable[Response]]
"""One step of the chain: look, then `await next(ctx)` or raise an APIError."""


class Reader(Protocol):
    """The server's own watch cache. Documents returned are the caller's to keep, but for those of `peek`.

    The cache trails the store by less than one event-loop turn; `fresh` waits for it.
    """

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """The object, or None."""

    def peek(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """As `get`, for those who only look: the document is shared and must not be changed."""

    def list(self, resource: Resource, namespace: str = "", labels: Mapping[str, str] | None = None) -> Objects:
        """All objects (of one namespace), those with all of `labels`, in key order."""

    def version(self, resource: Resource) -> int:
        """A number that changes whenever any object of the kind does: keep what you computed while it stays."""

    def watched(self, *resources: Resource) -> Watched:
        """For those who are asked at every request whether what they computed of built-in kinds still holds."""

    async def fresh(self, resource: Resource) -> None:
        """Wait until the cache shows every write that was committed before this call."""


class Watched:
    """`stale` is set by every change of some kinds, and at first; whoever computes anew unsets it before he reads."""

    __slots__ = ("stale",)

    def __init__(self) -> None:
        self.stale = True

    def reset(self, entries: object) -> None:
        """All is loaded anew."""
        self.stale = True

    def changed(self, change: object) -> None:
        self.stale = True


class ServerParts(Protocol):
    """What the server offers to its parts. `client` speaks in process as `system:apiserver` (system:masters)."""

    @property
    def config(self) -> APIServerConfig: ...
    @property
    def reader(self) -> Reader: ...
    @property
    def client(self) -> Client: ...
    def transport(self, user: UserInfo) -> Transport: ...
    def kind_of(self, group: str, version: str, plural: str) -> Kind | None: ...
    def kinds(self) -> Sequence[Kind]: ...
    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        """Run all authenticators on a request; None when none knows the caller. TokenReview uses it."""
    async def authorize(self, attributes: Attributes) -> Verdict:
        """Run all authorizers; the access reviews use it."""
    def rules_for(self, user: UserInfo, namespace: str) -> KnownRules:
        """What all authorizers can tell together."""
    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Run the whole admission chain, mutating then validating: for CONNECT and for documents never stored."""


class Authenticator(Protocol):
    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        """Who asks; None: not my credentials. Raises Unauthorized for credentials that are mine and wrong."""


class Decision(enum.Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    decision: Decision
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOW


@dataclass(slots=True)
class Attributes:
    """What a user wants to do: of a resource, or (`is_resource` false) of a URL path with an HTTP method as verb.

    Never changed; frozen it would cost a write several microseconds more.
    """

    user: UserInfo
    verb: str
    is_resource: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: tuple[Requirement, ...] = ()
    """What a field selector limits the request to: a kubelet may list pods only with `spec.nodeName=` itself."""
    labels: tuple[Requirement, ...] = ()
    """What a label selector limits it to."""

    def is_limited_to(self, field: str, value: str) -> bool:
        """Whether the field selector demands this value."""
        return any(one.key == field and one.operator == "=" and one.values == (value,) for one in self.fields)


@dataclass(slots=True)
class KnownRules:
    """What an authorizer can tell of all that a user may: rules as SelfSubjectRulesReviews show them."""

    resources: list[Object] = field(default_factory=list)
    urls: list[Object] = field(default_factory=list)
    incomplete: bool = False
    problems: list[str] = field(default_factory=list)


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> Verdict:
        """The first authorizer with an opinion wins."""

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        """What it would allow the user in a namespace, as far as it can tell."""


Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class AdmissionAttributes:
    """A write that wants to be admitted.

    `object` is None for DELETE and, for CONNECT, the options of the connection; `admit` may change it in place,
    `validate` must not. `old_object` is never to be changed. For a subresource with a document of its own (Scale,
    Eviction, Binding, TokenRequest) `object` is that document and `document` names its kind.
    """

    operation: Operation
    kind: Kind
    document: Resource
    name: str
    namespace: str
    user: UserInfo
    object: Object | None
    old_object: Object | None = None
    subresource: str = ""
    options: Object = field(default_factory=dict)
    dry_run: bool = False
    context: RequestContext | None = None
    reinvocation: Reinvocation | None = None
    _settled: Callable[[], None] | None = None

    def when_settled(self, settled: Callable[[], None]) -> None:
        """Call it once the write is stored, or will not be: for the one plugin that reserves something for it."""
        self._settled = settled

    def settle(self) -> None:
        """The write is stored, or will not be."""
        if self._settled is not None:
            self._settled()
    """Set by a plugin whose change may concern plugins before it."""

    @property
    def resource(self) -> Resource:
        return self.kind.resource

    def warn(self, text: str) -> None:
        if self.context is not None:
            self.context.warn(text)

    def annotate(self, key: str, value: str) -> None:
        """An audit annotation."""
        if self.context is not None:
            self.context.audit_annotations[key] = value


class Admission(Protocol):
    """An admission plugin; both methods raise an APIError (usually Forbidden) to refuse.

    `interested` is a cheap filter: plugins that say False are not called for this write.
    """

    name: str

    def interested(self, attributes: AdmissionAttributes) -> bool: ...
    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Mutate `attributes.object`; runs before defaults are completed and validation."""
    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Look at the final object, just before it is stored."""


Handler: TypeAlias = Callable[[RequestContext, ServerParts], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint that no storage backs: a review (`subresource` empty), or a subresource with code of its own.

    `verbs` are API verbs as authorisation sees them (`pods/exec` has get and create). `document` is the kind of the
    body for discovery, e.g. PodExecOptions. `long_running` frees it from timeouts. `any_subpath` is for `proxy`. It is
    called after authorisation; bodies, admission (`parts.admit` where needed) and answers are its own business.
    """

    resource: Resource
    subresource: str
    verbs: tuple[str, ...]
    document: Resource
    handle: Handler
    long_running: bool = False
    any_subpath: bool = False
    categories: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()


BuildAuthenticator: TypeAlias = Callable[[ServerParts], Authenticator | None]
BuildAuthorizer: TypeAlias = Callable[[ServerParts], Authorizer | None]
BuildAdmission: TypeAlias = Callable[[ServerParts], Admission | None]
BuildLink: TypeAlias = Callable[[ServerParts], Link | None]
Json: TypeAlias = Any

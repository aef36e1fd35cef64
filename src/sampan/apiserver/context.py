"""What is known of one request while it travels through the server.

The first link of the chain fills in what the URL says (verb, group, resource, names); authentication adds the user;
later links and handlers leave warnings and audit annotations, which the chain turns into `Warning` headers and audit
events. One context lives exactly as long as its request, or, for a watch, as its stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api.kind import Kind
from sampan.apimachinery.http import Request, UserInfo

READ_VERBS = frozenset({"get", "list", "watch"})
MAX_WARNING_CHARS, CUT_WARNING_CHARS = 4096, 256


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request; equal only to itself.

    For a resource request `verb` is get, list, watch, create, update, patch, delete or deletecollection and `resource`
    the plural; otherwise `verb` is the lower-case HTTP method and only `request.path` matters. `subpath` is what
    follows a `proxy` subresource, with its leading slash. `kind` is None for resources that no storage backs (reviews),
    and for unknown ones.
    """

    request: Request
    verb: str = ""
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    subpath: str = ""
    kind: Kind | None = None
    user: UserInfo | None = None
    impersonator: UserInfo | None = None
    """Who really asked, when `user` is impersonated."""
    impersonation_constraint: str = ""
    """The right by which they do, such as `impersonate:user-info`; empty for the right to do anything as somebody."""
    audiences: tuple[str, ...] = ()
    """Whom a token must be for; the server itself when empty. A token's authenticator leaves here what matched."""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    audit_annotations: dict[str, str] = field(default_factory=dict)
    audit_id: str = ""
    received_s: float = 0.0
    """`effects.monotonic()` when the request arrived."""
    flow: tuple[str, str] | None = None
    """The uids of the flow schema and priority level that the request runs under."""
    long_running: bool = False
    """A watch or a stream: no timeout, no seat held."""

    def deprecate(self, text: str) -> None:
        """Warn of a deprecated kind, and put its use on record."""
        self.warn(text)
        self.audit_annotations["k8s.io/deprecated"] = "true"

    def warn(self, text: str) -> None:
        """A `Warning: 299` header of the answer; repeated texts are sent once.

        What does not fit into a header of ordinary size is cut and then left out, as upstream does: a body may hold
        more unknown fields than anyone wants to read.
        """
        if text in self.warnings:
            return
        room = MAX_WARNING_CHARS - sum(map(len, self.warnings))
        if len(text) > room:
            text = text[:CUT_WARNING_CHARS]
        if len(text) <= room:
            self.warnings.append(text)

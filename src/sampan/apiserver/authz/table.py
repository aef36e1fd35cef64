"""The authorisers in order; the first with an opinion wins, and nobody's opinion is a refusal.

`AUTHORIZERS` are those of a server without an AuthorizationConfiguration. With one, the file says which there are and
in which order, behind `privileged`: no configuration locks system:masters out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sampan.apiserver.authz import always, node, privileged, rbac
from sampan.apiserver.authz.configuration import AuthorizerEntry, parse
from sampan.apiserver.seams import Attributes, Authorizer, BuildAuthorizer, Decision, ServerParts, Verdict

AUTHORIZERS: tuple[BuildAuthorizer, ...] = (
    privileged.build,
    node.build,
    rbac.build,
)

_BUILT_IN: Final[Mapping[str, BuildAuthorizer]] = {
    "Node": node.build, "RBAC": rbac.build, "AlwaysAllow": lambda parts: always.ALLOW,
    "AlwaysDeny": lambda parts: always.DENY,
}


def build(parts: ServerParts) -> list[Authorizer]:
    """The server's authorisers. Raises ValueError, OSError for a configuration of no use."""
    path = parts.config.authorization_config_file
    builders: Sequence[BuildAuthorizer] = AUTHORIZERS
    if path:
        builders = (privileged.build, *(_builder(entry) for entry in parse(Path(path).read_bytes())))
    return [part for make in builders if (part := make(parts)) is not None]


def _builder(entry: AuthorizerEntry) -> BuildAuthorizer:
    settings = entry.webhook
    if settings is None:
        return _BUILT_IN[entry.type]

    def webhook(parts: ServerParts) -> Authorizer:
        from sampan.apiserver.authz.webhook import WebhookAuthorizer

        return WebhookAuthorizer(entry.name, settings)

    return webhook


async def authorize(authorizers: Sequence[Authorizer], attributes: Attributes) -> Verdict:
    """Ask each in order. The reasons of those without an opinion are joined, as upstream joins them."""
    reasons: list[str] = []
    for authorizer in authorizers:
        verdict = await authorizer.authorize(attributes)
        if verdict.decision is not Decision.NO_OPINION:
            return verdict
        if verdict.reason:
            reasons.append(verdict.reason)
    return Verdict(Decision.NO_OPINION, "\n".join(reasons))

"""The authorisers in order; the first with an opinion wins, and nobody's opinion is a refusal.

`AUTHORIZERS` are those of a server without an AuthorizationConfiguration. With one, the file says which there are and
in which order, behind `privileged`: no configuration locks system:masters out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.authz import always, node, privileged, rbac
from sampan.apiserver.authz.configuration import AuthorizerEntry, parse
from sampan.apiserver.seams import (
    Attributes,
    Authorizer,
    BuildAuthorizer,
    Decision,
    KnownRules,
    ServerParts,
    Verdict,
)

_PRIVILEGED: Final = "privileged"
AUTHORIZERS: tuple[BuildAuthorizer, ...] = (
    privileged.build,
    node.build,
    rbac.build,
)

_BUILT_IN: Final[Mapping[str, Callable[[ServerParts], Authorizer]]] = {
    "Node": node.build, "RBAC": rbac.build, "AlwaysAllow": lambda parts: always.ALLOW,
    "AlwaysDeny": lambda parts: always.DENY,
}


class Authorizers:
    """Those of one server. A file that changes is read again; what is wrong with it then goes to the log.

    Which authorisers other than webhooks there are is settled at the start.
    """

    def __init__(self, parts: ServerParts) -> None:
        """Raises ValueError, OSError for a configuration of no use."""
        self._parts = parts
        self._own: dict[str, Authorizer] = {}
        self._required: frozenset[str] = frozenset()
        path = parts.config.authorization_config_file
        self._fixed = [part for make in AUTHORIZERS if (part := make(parts)) is not None] if not path else []
        self._file = WatchedFile(path, self._read) if path else None
        self._required = frozenset(self._own) - {_PRIVILEGED}

    def now(self) -> Sequence[Authorizer]:
        return self._fixed if self._file is None else self._file.get()

    def _read(self, content: bytes) -> list[Authorizer]:
        entries = parse(content)
        missing = self._required - {entry.type for entry in entries}
        if missing:
            raise ValueError(f"missing required types: {', '.join(sorted(missing))}")
        return [self._kept(_PRIVILEGED, privileged.build), *map(self._of, entries)]

    def _of(self, entry: AuthorizerEntry) -> Authorizer:
        if entry.webhook is not None:
            from sampan.apiserver.authz.webhook import WebhookAuthorizer

            return WebhookAuthorizer(entry.name, entry.webhook)
        return self._kept(entry.type, _BUILT_IN[entry.type])

    def _kept(self, type: str, make: Callable[[ServerParts], Authorizer]) -> Authorizer:
        """One of its own kind, which stays the same whenever the file changes."""
        if type not in self._own:
            self._own[type] = make(self._parts)
        return self._own[type]


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


def rules_for(authorizers: Sequence[Authorizer], user: UserInfo, namespace: str) -> KnownRules:
    """What they can tell together."""
    known = KnownRules()
    for authorizer in authorizers:
        found = authorizer.rules(user, namespace)
        known.resources += found.resources
        known.urls += found.urls
        known.incomplete |= found.incomplete
        known.problems += found.problems
    return known

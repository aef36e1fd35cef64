"""The authorisers in order; the first with an opinion wins, and nobody's opinion is a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.apiserver.authz import node, privileged, rbac
from sampan.apiserver.seams import Attributes, Authorizer, BuildAuthorizer, Decision, Verdict

AUTHORIZERS: tuple[BuildAuthorizer, ...] = (
    privileged.build,
    node.build,
    rbac.build,
)


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

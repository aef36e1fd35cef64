"""The group system:masters may do everything, whatever the roles say: the way back in after a mistake."""

from __future__ import annotations

from sampan.apimachinery.http import UserInfo
from sampan.apiserver.seams import Attributes, Decision, KnownRules, ServerParts, Verdict

MASTERS = "system:masters"


class Privileged:
    async def authorize(self, attributes: Attributes) -> Verdict:
        if MASTERS in attributes.user.groups:
            return Verdict(Decision.ALLOW)
        return Verdict(Decision.NO_OPINION)

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        """None of its own: the role cluster-admin says the same."""
        return KnownRules()


def build(parts: ServerParts) -> Privileged:
    return Privileged()

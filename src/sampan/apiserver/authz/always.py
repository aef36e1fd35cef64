"""Authorisers that always say the same: for an AuthorizationConfiguration that ends in one of them."""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.http import UserInfo
from sampan.apiserver.seams import Attributes, Decision, KnownRules, Verdict

_EVERYTHING: Final = KnownRules(
    [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
)


class Always:
    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def authorize(self, attributes: Attributes) -> Verdict:
        return self._verdict

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        return _EVERYTHING if self._verdict.allowed else KnownRules()


ALLOW = Always(Verdict(Decision.ALLOW))
DENY = Always(Verdict(Decision.NO_OPINION, "Everything is forbidden."))

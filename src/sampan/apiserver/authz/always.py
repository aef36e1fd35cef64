"""Authorisers that always say the same: for an AuthorizationConfiguration that ends in one of them."""

from __future__ import annotations

from sampan.apiserver.seams import Attributes, Decision, Verdict


class Always:
    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def authorize(self, attributes: Attributes) -> Verdict:
        return self._verdict


ALLOW = Always(Verdict(Decision.ALLOW))
DENY = Always(Verdict(Decision.NO_OPINION, "Everything is forbidden."))

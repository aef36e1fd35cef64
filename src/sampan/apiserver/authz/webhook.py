"""Authorisation by another program: it is sent a SubjectAccessReview and allows, denies or has no opinion.

Yes and no are kept for a while, each for its own. When the program cannot be asked, or a match condition has no value,
`failurePolicy` decides: Deny, or no opinion. Source: "Webhook Mode" in the Kubernetes documentation and KEP-3221.
"""

from __future__ import annotations

import logging
from typing import Final

import orjson

from sampan.apimachinery.cel.errors import EvaluationError
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.authz import selector_attributes
from sampan.apiserver.authz.configuration import WebhookSettings, request_environment
from sampan.apiserver.remote_review import Remembered, RemoteReview, ReviewFailed
from sampan.apiserver.seams import Attributes, Decision, KnownRules, Verdict

log = logging.getLogger(__name__)
_NO_OPINION: Final = Verdict(Decision.NO_OPINION)


class WebhookAuthorizer:
    """Raises KubeconfigError."""

    def __init__(self, name: str, settings: WebhookSettings) -> None:
        self._name = name
        self._settings = settings
        self._review = RemoteReview(settings.kubeconfig, settings.timeout_s)
        self._known: Remembered[Verdict] = Remembered()

    async def authorize(self, attributes: Attributes) -> Verdict:
        spec = review_spec(attributes)
        try:
            if not self._concerned(spec):
                return _NO_OPINION
            question = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
            verdict = self._known.get(question)
            if verdict is None:
                verdict = _verdict(await self._review.post({
                    "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
                }))
                settings = self._settings
                self._known.put(
                    question, verdict, settings.authorized_ttl_s if verdict.allowed else settings.unauthorized_ttl_s
                )
            return verdict
        except (ReviewFailed, EvaluationError) as error:
            log.warning("authorizer %s: %s", self._name, error)
            if self._settings.fail_closed:
                return Verdict(Decision.DENY, f"webhook authorizer {self._name} failed")
            return _NO_OPINION

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        return KnownRules(incomplete=True, problems=["webhook authorizer does not support user rule resolution"])

    def _concerned(self, spec: Object) -> bool:
        """Whether all match conditions hold. A false one settles it, whatever the others fail with."""
        if not self._settings.conditions:
            return True
        activation = request_environment().activation({"request": spec})
        failed: EvaluationError | None = None
        for condition in self._settings.conditions:
            try:
                if condition.evaluate(activation) is not True:
                    return False
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return True


def review_spec(attributes: Attributes) -> Object:
    """The spec of a SubjectAccessReview about these attributes; empty values are left out."""
    user = attributes.user
    spec: Object = {"user": user.name}
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if not attributes.is_resource:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
        return spec
    about: Object = {
        "namespace": attributes.namespace, "verb": attributes.verb, "group": attributes.group,
        "version": attributes.version, "resource": attributes.resource, "subresource": attributes.subresource,
        "name": attributes.name,
    }
    spec["resourceAttributes"] = {key: value for key, value in about.items() if value}
    spec["resourceAttributes"].update(selector_attributes.shown(attributes.fields, attributes.labels))
    return spec


def _verdict(status: Object) -> Verdict:
    reason = str(status.get("reason") or "")
    if status.get("denied"):
        if status.get("allowed"):
            raise ReviewFailed("webhook subject access review returned both allow and deny response")
        return Verdict(Decision.DENY, reason)
    return Verdict(Decision.ALLOW if status.get("allowed") else Decision.NO_OPINION, reason)

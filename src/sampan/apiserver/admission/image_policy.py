"""ImagePolicyWebhook: another program says whether a pod's images may run. Off unless enabled, as upstream.

It is asked with an ImageReview (imagepolicy.k8s.io/v1alpha1) that holds the images, the namespace and those of the
pod's annotations that contain `.image-policy.k8s.io/`; its answers are remembered for a while. The configuration:

    imagePolicy:
      kubeConfigFile: /path/to/kubeconfig   # who is asked
      allowTTL: 50                          # seconds
      denyTTL: 50
      retryBackoff: 500                     # milliseconds
      defaultAllow: true                    # what counts when there is no answer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson

from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object, annotations_of, dig
from sampan.apiserver.admission import configuration
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.remote_review import Remembered, RemoteReview, ReviewFailed
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

SEPARATOR: Final = ".image-policy.k8s.io/"
_FAILED_OPEN: Final = "alpha.image-policy.k8s.io/failed-open"


@dataclass(frozen=True, slots=True)
class Settings:
    kubeconfig: str
    allow_ttl_s: float = 300.0
    deny_ttl_s: float = 30.0
    retry_s: float = 0.5
    allows_by_default: bool = False


class ImagePolicyWebhook(Plugin):
    name = "ImagePolicyWebhook"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "ephemeralcontainers"})

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._review = RemoteReview(settings.kubeconfig, first_pause_s=settings.retry_s)
        self._answers: Remembered[Object] = Remembered()

    async def validate(self, attributes: AdmissionAttributes) -> None:
        spec = review_spec(attributes)
        question = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        answer = self._answers.get(question)
        if answer is None:
            try:
                answer = await self._review.post(
                    {"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "spec": spec}
                )
            except ReviewFailed as error:
                if not self._settings.allows_by_default:
                    raise refuse(attributes, str(error)) from None
                attributes.annotate(_FAILED_OPEN, "true")
                return
            settings = self._settings
            ttl_s = settings.allow_ttl_s if answer.get("allowed") is True else settings.deny_ttl_s
            self._answers.put(question, answer, ttl_s)
        for key, value in (answer.get("auditAnnotations") or {}).items():
            attributes.annotate(f"imagepolicywebhook.image-policy.k8s.io/{key}", str(value))
        if answer.get("allowed") is not True:
            reason = answer.get("reason")
            raise refuse(attributes, f"image policy webhook backend denied one or more images: {reason}" if reason
                         else "one or more images rejected by webhook backend")


def review_spec(attributes: AdmissionAttributes) -> Object:
    """An ImageReviewSpec."""
    pod = attributes.object or {}
    images = [
        {"image": container.get("image", "")} for kind in ("containers", "initContainers", "ephemeralContainers")
        for container in dig(pod, "spec", kind, default=()) or ()
    ]
    annotations = {key: value for key, value in annotations_of(pod).items() if SEPARATOR in key}
    return {"containers": images, "annotations": annotations, "namespace": attributes.namespace}


def settings(document: Object) -> Settings:
    """Raises ValueError."""
    given, path = document.get("imagePolicy") or {}, Path("imagePolicy")
    wrong: list[FieldError] = []
    file = given.get("kubeConfigFile")
    if not isinstance(file, str) or not file:
        wrong.append(required(path.child("kubeConfigFile"), "who is asked"))
    ttl = {name: _number(given, name, usual, 1800, wrong) for name, usual in (("allowTTL", 300), ("denyTTL", 30))}
    retry_ms = _number(given, "retryBackoff", 500, 300_000, wrong)
    configuration.refuse(ImagePolicyWebhook.name, wrong)
    return Settings(str(file), ttl["allowTTL"], ttl["denyTTL"], retry_ms / 1000, given.get("defaultAllow") is True)


def _number(given: Object, name: str, usual: int, most: int, wrong: list[FieldError]) -> float:
    """From 1 to `most`; -1 is none at all."""
    value: Any = given.get(name) or usual
    if value == -1:
        return 0.0
    if not isinstance(value, int | float) or not 1 <= value <= most:
        path = Path("imagePolicy").child(name)
        wrong.append(invalid(path, value, f"must be between 1 and {most}, or -1"))
        return 0.0
    return float(value)


def build(parts: ServerParts) -> ImagePolicyWebhook | None:
    """None without a configuration, which it cannot do without. Raises ValueError if it is enabled all the same."""
    document = configuration.of(parts.config, ImagePolicyWebhook.name)
    if ImagePolicyWebhook.name not in parts.config.enable_admission:
        return None
    if document is None:
        raise ValueError("ImagePolicyWebhook: no config specified")
    return ImagePolicyWebhook(settings(document))

"""AdmissionReview: what a webhook is asked, and what its answer says (admission.k8s.io v1 and v1beta1)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sampan import effects
from sampan.api.kind import Kind
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object
from sampan.apiserver.admission.matching.request import request_of
from sampan.apiserver.admission.matching.version import shown
from sampan.apiserver.seams import AdmissionAttributes

_GROUP: Final = "admission.k8s.io"
_ABSENT: Final = "webhook response was absent"


class BadAnswer(Exception):
    """The webhook's answer breaks the protocol; `str` says how."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`patch` is a decoded JSON patch, None for none."""

    allowed: bool
    status: Any
    patch: Any
    warnings: Sequence[str]
    annotations: Object


async def review_of(attributes: AdmissionAttributes, kind: Kind, version: str) -> Object:
    """The question, with the objects as `kind` shows them."""
    request: Object = {"uid": effects.uid(), **request_of(attributes, kind)}
    request["object"] = await shown(attributes.object, attributes, kind)
    request["oldObject"] = await shown(attributes.old_object, attributes, kind)
    return {"kind": "AdmissionReview", "apiVersion": f"{_GROUP}/{version}", "request": request}


def verdict_of(answer: Any, question: Object, *, mutating: bool) -> Verdict:
    """Raises BadAnswer."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise BadAnswer(_ABSENT)
    v1 = question["apiVersion"] == f"{_GROUP}/v1"
    if v1:
        _check_identity(answer, response, question["request"]["uid"])
    patch = _patch(response, strict=v1, mutating=mutating)
    annotations = response.get("auditAnnotations")
    return Verdict(
        response.get("allowed") is True, response.get("status"), patch,
        [str(warning) for warning in response.get("warnings") or ()],
        annotations if isinstance(annotations, dict) else {},
    )


def _check_identity(answer: Object, response: Object, uid: str) -> None:
    if response.get("uid") != uid:
        raise BadAnswer(f"expected response.uid={quoted(uid)}, got {quoted(str(response.get('uid') or ''))}")
    group, _, version = str(answer.get("apiVersion") or "").rpartition("/")
    if (group, version, answer.get("kind")) != (_GROUP, "v1", "AdmissionReview"):
        got = f"{group}/{version}, Kind={answer.get('kind') or ''}"
        raise BadAnswer(f"expected webhook response of {_GROUP}/v1, Kind=AdmissionReview, got {got}")


def _patch(response: Object, *, strict: bool, mutating: bool) -> Any:
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        if strict and patch:
            raise BadAnswer("validating webhook may not return response.patch")
        if strict and patch_type is not None:
            raise BadAnswer("validating webhook may not return response.patchType")
        return None
    if strict and patch and patch_type is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if strict and not patch and patch_type is not None:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    if not patch:
        return None
    if patch_type not in (None, "JSONPatch"):
        raise BadAnswer(f"webhook returned invalid response.patchType of {quoted(str(patch_type))}")
    try:
        return orjson.loads(base64.b64decode(patch, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadAnswer(f"webhook returned a patch that is no JSON: {error}") from None

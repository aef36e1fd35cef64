"""The protobuf field numbers of reviews and token requests, which kubectl sends in no other encoding.

Source: the generated.proto files of k8s.io/api (authentication/v1, authorization/v1).
"""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.protobuf import OBJECT_META, Field, Message

_EXTRA: Message = {1: Field("items", "string", "list")}

_REQUIREMENT: Message = {1: Field("key"), 2: Field("operator"), 3: Field("values", "string", "list")}
_SELECTOR: Message = {1: Field("rawSelector"), 2: Field("requirements", _REQUIREMENT, "list")}
_RESOURCE: Message = {
    1: Field("namespace"), 2: Field("verb"), 3: Field("group"), 4: Field("version"), 5: Field("resource"),
    6: Field("subresource"), 7: Field("name"), 8: Field("fieldSelector", _SELECTOR),
    9: Field("labelSelector", _SELECTOR),
}
_PATH: Message = {1: Field("path"), 2: Field("verb")}
_SELF: Message = {1: Field("resourceAttributes", _RESOURCE), 2: Field("nonResourceAttributes", _PATH)}
_SUBJECT: Message = {
    **_SELF, 3: Field("user"), 4: Field("groups", "string", "list"), 5: Field("extra", _EXTRA, "map"), 6: Field("uid"),
}
_BOUND: Message = {1: Field("kind"), 2: Field("apiVersion"), 3: Field("name"), 4: Field("uid")}
_TOKEN_REQUEST: Message = {
    1: Field("audiences", "string", "list"), 3: Field("boundObjectRef", _BOUND), 4: Field("expirationSeconds", "int"),
}


def _review(spec: Message) -> Message:
    return {1: Field("metadata", OBJECT_META), 2: Field("spec", spec)}


MESSAGES: Final[dict[str, Message]] = {
    "SelfSubjectReview": {1: Field("metadata", OBJECT_META)},
    "TokenReview": _review({1: Field("token"), 2: Field("audiences", "string", "list")}),
    "TokenRequest": _review(_TOKEN_REQUEST),
    "SubjectAccessReview": _review(_SUBJECT),
    "LocalSubjectAccessReview": _review(_SUBJECT),
    "SelfSubjectAccessReview": _review(_SELF),
    "SelfSubjectRulesReview": _review({1: Field("namespace")}),
}

"""Secret: as a ConfigMap, for what must stay hidden; some types ask for certain keys."""

from __future__ import annotations

import base64
import binascii
import json

from sampan.api.columns import AGE, NAME, at, length
from sampan.api.core.keyed_data import validate_immutable, validate_keys, validate_size
from sampan.api.kind import Column, Kind
from sampan.api.resources import SECRETS
from sampan.api.warnings import identity
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.object import Object, annotations_of

_SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def default(obj: Object) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"


def fold_string_data(obj: Object) -> None:
    """`stringData` is for writing only: its values go into `data`, base64, over what is there."""
    texts = obj.pop("stringData", None)
    if texts:
        data = dict(obj.get("data") or {})
        for key, value in texts.items():
            data[key] = base64.b64encode(str(value).encode("utf-8", "surrogatepass")).decode()
        obj["data"] = data


def default_all(obj: Object) -> None:
    default(obj)
    fold_string_data(obj)


def validate(obj: Object) -> list[FieldError]:
    data, kind = obj.get("data") or {}, obj.get("type") or ""
    errors = validate_keys(data, Path("data")) + validate_size({}, data, Path("data"))
    if kind == "kubernetes.io/service-account-token":
        if not annotations_of(obj).get(_SERVICE_ACCOUNT_NAME):
            errors.append(required(Path("metadata").child("annotations").key(_SERVICE_ACCOUNT_NAME)))
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            errors += [required(Path("data").key("username")), required(Path("data").key("password"))]
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        errors.append(required(Path("data").key("ssh-privatekey")))
    for key in _REQUIRED_KEYS.get(kind, ()):
        if key not in data:
            errors.append(required(Path("data").key(key)))
        elif key.startswith(".docker") and not _is_json(data[key]):
            errors.append(invalid(Path("data").key(key), "<secret contents redacted>", "invalid JSON"))
    return errors


def _is_json(value: str) -> bool:
    try:
        json.loads(base64.b64decode(value))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return True


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors = immutable(new.get("type"), old.get("type"), Path("type"))
    return errors + validate_immutable(new, old, ("data",))


def prepare_update(new: Object, old: Object) -> None:
    """An update that leaves the type out keeps it."""
    if not new.get("type"):
        new["type"] = old.get("type", "Opaque")



SECRET = Kind(
    resource=SECRETS,
    definition="io.k8s.api.core.v1.Secret",
    singular="secret",
    default=default_all,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    field_names=("type",),
    fields=lambda obj: {"type": obj.get("type", "")},
    warnings=identity.secret,
    columns=(
        NAME,
        Column("Type", "string", at("type"), doc="core.v1.Secret#type"),
        Column("Data", "string", length("data"), doc="core.v1.Secret#data"),
        AGE,
    ),
)

"""What a webhook or a policy made of an object, taken over: shaped, defaulted, `managedFields` untouched."""

from __future__ import annotations

from sampan.api.kind import Kind
from sampan.apimachinery.errors import InternalError
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.compile import DecodeError
from sampan.apiserver.admission.matching.version import is_whole
from sampan.apiserver.bodies import schema_of
from sampan.apiserver.seams import AdmissionAttributes


def replace(attributes: AdmissionAttributes, new: Object) -> bool:
    """Make `new` the write's object, completed as a client's would be; whether that changes it.

    Raises InternalError for what is no object of the kind.
    """
    target = attributes.object
    assert target is not None
    if is_whole(attributes):
        new = _completed(new, target, attributes.kind)
    if new == target:
        return False
    target.clear()
    target.update(new)
    return True


def _completed(new: Object, old: Object, kind: Kind) -> Object:
    schema = schema_of(kind)
    if schema is not None:
        try:
            new, _ = schema.decode_strict(new)
        except DecodeError as error:
            raise internal_error(error.why) from None
    new["apiVersion"], new["kind"] = kind.resource.api_version, kind.resource.kind
    metadata = new.setdefault("metadata", {})
    managed = (old.get("metadata") or {}).get("managedFields")
    if managed is not None:
        metadata["managedFields"] = managed
    else:
        metadata.pop("managedFields", None)
    kind.default(new)
    return new


def internal_error(why: str) -> InternalError:
    """As upstream words what went wrong inside."""
    return InternalError(f"Internal error occurred: {why}", {"causes": [{"message": why}]})

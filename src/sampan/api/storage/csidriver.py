"""CSIDriver: how the cluster treats one CSI driver."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, UNSET, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import CSI_DRIVERS
from sampan.api.strategy import count_generation, ensure, setdefault, start_generation
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported
from sampan.apimachinery.object import Object, dig

_MODES = ("Ephemeral", "Persistent")
_FS_GROUP = ("File", "None", "ReadWriteOnceWithFSType")


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    setdefault(spec, "attachRequired", True)
    setdefault(spec, "podInfoOnMount", False)
    setdefault(spec, "storageCapacity", False)
    setdefault(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
    setdefault(spec, "requiresRepublish", False)
    setdefault(spec, "seLinuxMount", False)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = []
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _FS_GROUP:
        errors.append(not_supported(path.child("fsGroupPolicy"), policy, _FS_GROUP))
    errors += [
        not_supported(path.child("volumeLifecycleModes"), mode, _MODES)
        for mode in spec.get("volumeLifecycleModes") or [] if mode not in _MODES
    ]
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors = []
    for key in ("attachRequired", "volumeLifecycleModes"):
        after, before = dig(new, "spec", key), dig(old, "spec", key)
        if after != before:
            errors.append(invalid(Path("spec").child(key), after, "field is immutable"))
    return errors


def modes(obj: Object, now: datetime) -> str:
    return ",".join(dig(obj, "spec", "volumeLifecycleModes", default=())) or "<none>"


def audiences(obj: Object, now: datetime) -> str:
    requests = dig(obj, "spec", "tokenRequests", default=())
    return ",".join(request.get("audience", "") for request in requests) if requests else UNSET


def _flag(name: str, key: str, fallback: bool = False) -> Column:
    return Column(name, "boolean", at("spec", key, default=fallback), doc=f"storage.v1.CSIDriverSpec#{key}")


CSI_DRIVER = Kind(
    resource=CSI_DRIVERS,
    definition="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        _flag("AttachRequired", "attachRequired", True),
        _flag("PodInfoOnMount", "podInfoOnMount"),
        _flag("StorageCapacity", "storageCapacity"),
        Column("TokenRequests", "string", audiences, doc="storage.v1.CSIDriverSpec#tokenRequests"),
        _flag("RequiresRepublish", "requiresRepublish"),
        Column("Modes", "string", modes, doc="storage.v1.CSIDriverSpec#volumeLifecycleModes"),
        AGE,
    ),
)

"""`kubernetes.io/enforce-mountable-secrets`: pods of such a ServiceAccount use only the Secrets that it lists.

Wherever a pod can name a Secret counts: volumes, projected ones too, variables and whole environments of every kind of
container, those that are added to a running pod, and for pulling images. Messages as upstream has them.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.apimachinery.object import Object, annotations_of, dig, name_of

_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_KINDS = {"initContainers": "init container", "containers": "container", "ephemeralContainers": "ephemeral container"}


def complaint(account: Object, spec: Object) -> str:
    """The first thing that the account does not allow, empty if there is none."""
    if annotations_of(account).get(_ANNOTATION) not in _TRUE:
        return ""
    mountable = {secret.get("name") for secret in account.get("secrets") or ()}
    who = name_of(account)
    for name, what in _mounted(spec):
        if name not in mountable:
            return f'{what} because service account {who} does not reference that secret'
    pulled = {secret.get("name") for secret in account.get("imagePullSecrets") or ()}
    for secret in spec.get("imagePullSecrets") or ():
        if secret.get("name") not in pulled:
            name = secret.get("name")
            return f'imagePullSecrets with name "{name}" is not allowed because service account {who} does not ' \
                   "reference that imagePullSecret"
    return ""


def _mounted(spec: Object) -> Iterator[tuple[str, str]]:
    """Every Secret that the spec names, and what to say of it."""
    for volume in spec.get("volumes") or ():
        name = dig(volume, "secret", "secretName")
        if name:
            yield name, f'volume with secret.secretName="{name}" is not allowed'
        for source in dig(volume, "projected", "sources", default=()):
            name = dig(source, "secret", "name")
            if name:
                yield name, f'volume with projected secret "{name}" is not allowed'
    for field, kind in _KINDS.items():
        for container in spec.get(field) or ():
            yield from _of_container(container, f"{kind} {container.get('name')}")


def _of_container(container: Object, who: str) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        name = dig(variable, "valueFrom", "secretKeyRef", "name")
        if name:
            which = f"envVar {variable.get('name')}"
            yield name, f'{who} with {which} referencing secret.secretName="{name}" is not allowed'
    for source in container.get("envFrom") or ():
        name = dig(source, "secretRef", "name")
        if name:
            yield name, f'{who} with envFrom referencing secret.secretName="{name}" is not allowed'

"""Which audiences a kubelet may ask a pod's token for: those that the pod itself mounts a token for.

They stand in the projected volumes of the pod and in the tokenRequests of the CSI drivers of its volumes. Anything
else takes the verb `request-serviceaccounts-token-audience` on the audience. Source: KEP-4935; messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api.resources import CSI_DRIVERS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apiserver.admission.plugin import refuse
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Reader, ServerParts

_VERB = "request-serviceaccounts-token-audience"


async def check(attributes: AdmissionAttributes, pod: Object, parts: ServerParts) -> None:
    """Raises Forbidden."""
    audiences = list(dig(attributes.object, "spec", "audiences", default=()))
    if audiences == list(parts.config.api_audiences or (parts.config.service_account_issuer,)):
        audiences = []  # the API server's own, which the request gets that names none
    if len(audiences) > 1:
        raise refuse(attributes, "node may only request 0 or 1 audiences")
    wanted = str(audiences[0]) if audiences else ""
    if wanted in set(mounted(pod, attributes.namespace, parts.reader)):
        return
    verdict = await parts.authorize(Attributes(
        attributes.user, _VERB, version="v1", resource=wanted, namespace=attributes.namespace, name=attributes.name,
    ))
    if not verdict.allowed:
        reason = verdict.reason or "and no authorizer allows it"
        raise refuse(attributes, f"audience {quoted(wanted)} not found in pod spec volume, {reason}")


def mounted(pod: Object, namespace: str, reader: Reader) -> Iterator[str]:
    """The audiences of all tokens that the pod's volumes need; the API server's own is empty."""
    for volume in dig(pod, "spec", "volumes", default=()):
        for source in dig(volume, "projected", "sources", default=()):
            if source.get("serviceAccountToken") is not None:
                yield source["serviceAccountToken"].get("audience") or ""
        driver = _driver(pod, volume, namespace, reader)
        requests = dig(reader.get(CSI_DRIVERS, driver), "spec", "tokenRequests", default=()) if driver else ()
        for request in requests:
            yield request.get("audience") or ""


def _driver(pod: Object, volume: Object, namespace: str, reader: Reader) -> str:
    """The CSI driver behind a volume of a pod, empty if there is none."""
    if volume.get("csi"):
        return str(volume["csi"].get("driver") or "")
    claim = str(dig(volume, "persistentVolumeClaim", "claimName", default=""))
    if volume.get("ephemeral") is not None:
        claim = f"{name_of(pod)}-{volume.get('name', '')}"
    bound = dig(reader.get(PERSISTENT_VOLUME_CLAIMS, claim, namespace), "spec", "volumeName") if claim else None
    return str(dig(reader.get(PERSISTENT_VOLUMES, bound), "spec", "csi", "driver", default="")) if bound else ""

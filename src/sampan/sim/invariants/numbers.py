"""How many a percentage is: maxSurge is rounded up, maxUnavailable down, and both are never zero."""

from __future__ import annotations

from sampan.apimachinery.object import Object, dig


def share(value: int | str, of: int, *, up: bool) -> int:
    """An IntOrString: a number, or `25%` of something."""
    if isinstance(value, int):
        return value
    hundredths = int(value.rstrip("%")) * of
    return -(-hundredths // 100) if up else hundredths // 100


def max_surge(deployment: Object) -> int:
    if dig(deployment, "spec", "strategy", "type") == "Recreate":
        return 0
    replicas = dig(deployment, "spec", "replicas", default=0)
    return share(dig(deployment, "spec", "strategy", "rollingUpdate", "maxSurge", default=0), replicas, up=True)


def max_unavailable(deployment: Object) -> int:
    replicas = dig(deployment, "spec", "replicas", default=0)
    value = dig(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable", default=0)
    most = min(share(value, replicas, up=False), replicas)
    return most or (0 if max_surge(deployment) else 1)

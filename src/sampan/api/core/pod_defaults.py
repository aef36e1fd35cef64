"""The defaults of a pod's spec."""

from __future__ import annotations

from sampan.api.strategy import setdefault
from sampan.apimachinery.object import Object


def default_pod_spec(spec: Object) -> None:
    setdefault(spec, "restartPolicy", "Always")
    setdefault(spec, "dnsPolicy", "ClusterFirst")
    setdefault(spec, "terminationGracePeriodSeconds", 30)
    setdefault(spec, "schedulerName", "default-scheduler")
    setdefault(spec, "securityContext", {})

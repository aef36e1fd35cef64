"""Which changes of a pod its Services are looked at for."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from sampan.apimachinery.object import Object
from sampan.controllers.services.service_backends import backend_facts


def pod(*, address: str = "10.0.0.1") -> Object:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "a"}, "resourceVersion": "1"},
        "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "a"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]},
    }


@pytest.mark.parametrize("change", [
    lambda pod: pod["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
    lambda pod: pod["metadata"]["labels"].update(app="b"),
    lambda pod: pod["spec"].update(nodeName="other"),
    lambda pod: pod["spec"].update(hostname="h", subdomain="s"),
    lambda pod: pod["status"].update(phase="Succeeded"),
    lambda pod: pod["status"].update(podIP="10.0.0.2", podIPs=[{"ip": "10.0.0.2"}]),
    lambda pod: pod["status"]["podIPs"].append({"ip": "fd00::1"}),
    lambda pod: pod["status"]["conditions"][0].update(status="False"),
    lambda pod: pod["status"]["conditions"][0].update(lastTransitionTime="2026-01-01T00:00:01Z"),
])
def test_what_endpoints_are_made_of_matters(change: Callable[[Object], None]) -> None:
    new = copy.deepcopy(pod())
    change(new)
    assert backend_facts(new) != backend_facts(pod())


@pytest.mark.parametrize("change", [
    lambda pod: pod["metadata"].update(resourceVersion="2", annotations={"a": "b"}),
    lambda pod: pod["status"].update(containerStatuses=[{"name": "main", "restartCount": 1}]),
    lambda pod: pod["status"]["conditions"].append({"type": "PodScheduled", "status": "True"}),
])
def test_all_else_of_a_pod_does_not(change: Callable[[Object], None]) -> None:
    new = copy.deepcopy(pod())
    change(new)
    assert backend_facts(new) == backend_facts(pod())


def test_a_pod_matters_once_it_has_an_address() -> None:
    before = pod(address="")
    before["status"]["podIPs"] = []
    bound = copy.deepcopy(before)
    bound["spec"]["nodeName"] = "other"
    assert backend_facts(before) == backend_facts(bound) != backend_facts(pod())

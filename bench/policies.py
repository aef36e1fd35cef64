"""What a pod costs a node's NetworkPolicies: `python -m bench.policies`.

In a network namespace of its own, with 100 policies that concern the node and with more and more pods in the cluster:
CPU of working out and writing one pod that changes its labels, as a multiple of what the python workload of the
calibration takes for one document. It should not grow with the pods.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

from bench import calibration
from sampan.machines import namespace
from sampan.netfilter.nft import NFT
from sampan.netfilter.ruleset import Existing, Ruleset
from sampan.network.policy.rules import frame
from sampan.network.policy.view import Policies

POLICIES, LOCAL, CHANGES = 100, 50, 50
PODS = (100, 1000, 5000)


def pod(number: int, app: int) -> dict[str, Any]:
    ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return {
        "metadata": {"name": f"p{number}", "namespace": "ns", "uid": f"u{number}", "labels": {"app": f"a{app}"}},
        "spec": {"nodeName": "here" if number < LOCAL else "there", "containers": []},
        "status": {"phase": "Running", "podIP": ip},
    }


def policy(number: int) -> dict[str, Any]:
    peers = [{"podSelector": {"matchLabels": {"app": f"a{number % 10}"}}}, {"namespaceSelector": {}}]
    return {"metadata": {"name": f"n{number}", "namespace": "ns"}, "spec": {
        "podSelector": {"matchLabels": {"app": f"a{number % LOCAL}"}},
        "ingress": [{"from": peers[: 1 + number % 2], "ports": [{"port": 80}]}],
    }}


def measure(pods: int) -> tuple[float, float]:
    """CPU seconds of the first whole table, and the median of a change."""
    view, ruleset, kernel = Policies("here"), Ruleset(frame()), NFT()
    view.set_namespace({"metadata": {"name": "ns"}})
    began = time.process_time()
    for number in range(pods):
        view.set_pod(pod(number, number % LOCAL))
    for number in range(POLICIES):
        view.set_policy(policy(number))
    ruleset.update(view.changes())
    kernel.run(ruleset.full(kernel.existing("ip", "sampan-policy") or Existing()).main)
    whole_s = time.process_time() - began
    changes = []
    for number in range(CHANGES):
        began = time.process_time()
        view.set_pod(pod(pods - 1 - number, number % 10))
        kernel.run(ruleset.update(view.changes()).main)
        changes.append(time.process_time() - began)
    kernel.close()
    return whole_s, statistics.median(changes)


def main() -> None:
    yardstick = calibration.measure()
    document_s = yardstick.python_s / 2000
    print(yardstick)
    name = f"bench-policy-{os.getpid()}"
    namespace.create(name)
    try:
        for pods in PODS:
            whole_s, change_s = namespace.call_in(name, lambda pods=pods: measure(pods))
            print(f"{pods:6} pods, {POLICIES} policies: table {whole_s * 1e3:8.1f} ms = {whole_s / document_s:9.0f} ×, "
                  f"one pod {change_s * 1e3:6.2f} ms = {change_s / document_s:5.0f} × a document")
    finally:
        namespace.delete(name)


if __name__ == "__main__":
    main()

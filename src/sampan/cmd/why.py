"""`sampan why pod/NAME`: what the scheduler's last attempt saw, and what would help now.

The attempt is the scheduler's own record, if one can be asked. What would help is found here: the API server is asked
for all that scheduling looks at, and the same plugins decide on a snapshot of this moment, writing nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sampan.api.resources import PODS
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.object import Object, dig, uid_of
from sampan.cli.operations import FailedAttempt, OperationError, PlacementReport, PlacementRow
from sampan.client.client import Client
from sampan.client.kubeconfig import Credentials
from sampan.cmd.last_attempt import NoAnswer, SchedulerPort
from sampan.scheduler.config import Profile
from sampan.scheduler.cycle import CycleTrial
from sampan.scheduler.framework.framework import Framework
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.listers import Listers
from sampan.scheduler.pod_groups import PodGroups
from sampan.scheduler.pod_info import parse
from sampan.scheduler.profiles import make_framework
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.why.explanation import Explanation, explain, summary

_OPTIONAL_TIMEOUT_S = 2.0


async def why(
    client: Client, namespace: str, name: str, port: SchedulerPort | None = None,
    credentials: Credentials | None = None,
) -> PlacementReport:
    """Why the pod is where it is, or nowhere. Raises OperationError if there is no such pod."""
    try:
        pod = await client.get(PODS, name, namespace)
    except NotFound as error:
        raise OperationError(str(error), f"see what is there: kubectl get pods -n {namespace}") from None
    if dig(pod, "spec", "nodeName"):
        return PlacementReport(f"pod {namespace}/{name} is on {pod['spec']['nodeName']}", last_attempt=_said(pod))
    async with Listers(client) as listers:
        explanation = explain(*await _prepared(client, listers), parse(pod))
    report = _report(f"{namespace}/{name}", pod, explanation)
    if port is None or credentials is None:
        return report
    try:
        seen = await port.last_attempt(credentials, namespace, name)
    except NoAnswer as error:
        return replace(report, untold=str(error))
    return report if seen is None or seen["uid"] != uid_of(pod) else replace(report, attempt=_attempt(seen))


def _attempt(seen: Object) -> FailedAttempt:
    rows = tuple(
        PlacementRow(tuple(one["nodes"]), one["plugin"], ", ".join(one["reasons"]), ()) for one in seen["verdicts"]
    )
    return FailedAttempt(seen["attempt"], seen["time"], seen["message"], rows, seen["nominatedNodeName"])


async def _prepared(client: Client, listers: Listers) -> tuple[Framework, Snapshot]:
    snapshot, groups = Snapshot(listers.namespace_labels), PodGroups()
    handle = Handle(
        snapshot, client, listers.namespace_labels, listers.services, listers.owners, listers.owners_version,
        listers.disruption_budgets, listers.budgets_version, listen=listers.listen, storage=listers.storage(),
        groups=groups,
    )
    framework = make_framework(Profile(), handle)
    handle.trial = CycleTrial(framework, snapshot)
    await listers.wait_synced()
    await listers.wait_optional(_OPTIONAL_TIMEOUT_S)
    for node in listers.node_informer.lister.list():
        snapshot.set_node(node)
    for placed in listers.pods:
        groups.put(placed)
        if placed.node_name:
            snapshot.put_pod(placed)
    return framework, snapshot


def _report(key: str, pod: Object, explanation: Explanation) -> PlacementReport:
    if explanation.rejection is not None:
        return PlacementReport(f"pod {key} cannot be placed: {explanation.rejection.message}", last_attempt=_said(pod))
    if explanation.fitting:
        where = ", ".join(explanation.fitting[:5]) + (" …" if len(explanation.fitting) > 5 else "")
        headline = f"pod {key} waits, but fits on {where}: its next attempt should succeed"
    elif not explanation.verdicts:
        headline = f"pod {key} waits: there are no nodes"
    else:
        headline = f"pod {key} waits: {len(explanation.verdicts)} of {len(explanation.verdicts)} nodes refuse it"
    rows = tuple(
        PlacementRow(nodes, refusal.plugin, refusal.reason, tuple(remedy.text for remedy in refusal.remedies))
        for nodes, refusals in summary(explanation) for refusal in refusals
    )
    smallest = explanation.smallest
    helps = tuple(remedy.text for remedy in smallest.remedies) if smallest is not None else ()
    return PlacementReport(
        headline, _said(pod), rows, smallest.node if smallest is not None and helps else "", helps,
        explanation.is_confirmed,
    )


def _said(pod: Object) -> str:
    """What the scheduler wrote into the pod's condition."""
    conditions = dig(pod, "status", "conditions", default=[])
    return next((str(c.get("message") or "") for c in conditions if c.get("type") == "PodScheduled"), "")

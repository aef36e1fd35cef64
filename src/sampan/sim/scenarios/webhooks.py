"""Every new pod passes a webhook that must have seen it; it is slow for a while, then fails, then is away."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.resources import DEPLOYMENTS, JOBS, MUTATING_WEBHOOK_CONFIGURATIONS
from sampan.apimachinery.object import labels_of
from sampan.sim.actions import create_some, delete_pod, scale, set_image
from sampan.sim.documents import deployment, document, job
from sampan.sim.faults.kinds import WebhookTrouble
from sampan.sim.scenario import Scenario
from sampan.sim.webhooks import MARK
from sampan.sim.world import PODS, World, title


def unseen(world: World) -> Sequence[str]:
    """Pods that came past the webhook, though it has to let them in."""
    return [f"{title(pod)} was not seen by the webhook" for pod in world.all(*PODS) if MARK not in labels_of(pod)]


SCENARIO = Scenario(
    name="webhooks",
    about="a webhook that must see every pod is slow, fails and comes back",
    apart=("replicaset-controller", "job-controller"),
    objects=(
        (MUTATING_WEBHOOK_CONFIGURATIONS, document(
            "MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", "mark", "", webhooks=[{
                "name": "mark.sim.sampan", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "timeoutSeconds": 3,
                "clientConfig": {"url": "https://webhook.sim"},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"],
                }],
            }],
        )),
        (DEPLOYMENTS, deployment("web", 4)),
    ),
    actions=(
        (3, scale(DEPLOYMENTS, "web", 2, 7)),
        (2, set_image(DEPLOYMENTS, "web")),
        (3, delete_pod("web")),
        (2, create_some(JOBS, lambda number: job(f"work-{number}", 4, 2), 5)),
    ),
    faults=(
        WebhookTrouble(10.0, 20.0, most_s=5.0), WebhookTrouble(35.0, 15.0, fails=0.5),
        WebhookTrouble(60.0, 25.0, fails=1.0), WebhookTrouble(100.0, 40.0, most_s=4.0, fails=0.2),
    ),
    settled=unseen,
    minutes=4,
    every_s=5,
)

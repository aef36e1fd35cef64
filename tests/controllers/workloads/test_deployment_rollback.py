"""`deprecated.deployment.rollback.to`: an old client's way to go back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster, template, workload

from sampan.api.resources import DEPLOYMENTS, REPLICA_SETS
from sampan.apimachinery.object import Object, annotations_of, labels_of
from sampan.controllers.workloads.deployment_revisions import REVISION, ROLLBACK_TO
from sampan.controllers.workloads.deployment_rollback import plan


def deployment(make, to: str, image: str = "web:3") -> Object:
    found = make.deployment(template=make.template(image))
    found["metadata"]["annotations"] = {ROLLBACK_TO: to, "why": "third", REVISION: "3"}
    return found


def sets(make, *revisions: int) -> list[Object]:
    found = []
    for revision in revisions:
        one = make.replica_set(f"web-{revision}", template=make.template(f"web:{revision}"))
        one["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = str(revision)
        one["metadata"]["annotations"] = {REVISION: str(revision), "why": f"number {revision}"}
        found.append(one)
    return found


@pytest.mark.parametrize(("to", "revisions", "image", "reason", "message"), [
    ("1", (1, 2, 3), "web:1", "DeploymentRollback", 'Rolled back deployment "web" to revision 1'),
    ("0", (1, 2, 3), "web:2", "DeploymentRollback", 'Rolled back deployment "web" to revision 2'),
    ("0", (3,), "web:3", "DeploymentRollbackRevisionNotFound", "Unable to find last revision."),
    ("7", (1, 3), "web:3", "DeploymentRollbackRevisionNotFound", "Unable to find the revision to rollback to."),
    ("3", (1, 3), "web:3", "DeploymentRollbackTemplateUnchanged",
     'The rollback revision contains the same template as current deployment "web"'),
])
def test_the_annotation_is_followed_and_taken_away(make, to, revisions, image, reason, message) -> None:
    decided = plan(deployment(make, to), sets(make, *revisions))
    assert decided is not None
    [update] = decided.steps
    assert [(note.reason, note.message) for note in decided.notes] == [(reason, message)]
    spec: Any = update.obj["spec"]["template"]
    assert spec["spec"]["containers"][0]["image"] == image
    assert "pod-template-hash" not in labels_of(spec)
    why = f"number {image[-1]}" if reason == "DeploymentRollback" else "third"
    assert annotations_of(update.obj) == {"why": why, REVISION: "3"}


@pytest.mark.parametrize("to", ["", "soon", "1.5"])
def test_what_cannot_be_understood_is_left_alone(make, to) -> None:
    assert plan(deployment(make, to), sets(make, 1, 2)) is None


def test_on_a_cluster_it_rolls_back() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload("web:1", replicas=1))
        await lab.status(DEPLOYMENTS, "web", availableReplicas=1)
        await lab.patch(DEPLOYMENTS, "web", spec={"template": template("web:2")})
        await lab.status(DEPLOYMENTS, "web", availableReplicas=1, updatedReplicas=1, replicas=1, observedGeneration=2)
        await lab.patch(DEPLOYMENTS, "web", metadata={"annotations": {ROLLBACK_TO: "1"}})

        async def back() -> bool:
            sizes = {
                one["spec"]["template"]["spec"]["containers"][0]["image"]: one["spec"]["replicas"]
                for one in await lab.list(REPLICA_SETS)
            }
            return sizes == {"web:1": 1, "web:2": 0}

        await lab.until(back)
        found = await lab.get(DEPLOYMENTS, "web")
        assert annotations_of(found)[REVISION] == "3" and ROLLBACK_TO not in annotations_of(found)
        assert "DeploymentRollback" in await lab.reasons("web")

    on_a_cluster(scenario)

"""Rolling a Deployment back because an annotation asks for it, as clients of extensions/v1beta1 did.

`deprecated.deployment.rollback.to` names a revision, 0 the one before the present. Its template is copied into the
Deployment and the annotation taken away, in one write; the rollout that follows is one like any other. If there is no
such revision, or its template is the present one, only the annotation goes. An Event says what became of it.
`kubectl rollout undo` copies the template itself and needs none of this.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.resources import DEPLOYMENTS
from sampan.apimachinery.object import Object, annotations_of, dig, meta, name_of
from sampan.client.events import NORMAL, WARNING
from sampan.controllers.workloads.deployment_revisions import ROLLBACK_TO, copied, revision_of
from sampan.controllers.workloads.pod_template import HASH_LABEL, same_template
from sampan.reconcile.plan import Note, Plan, Update


def plan(deployment: Object, sets: Sequence[Object]) -> Plan | None:
    """Roll back, or None where nobody asks for it in a way that can be understood."""
    asked = annotations_of(deployment).get(ROLLBACK_TO, "")
    if not (asked.isascii() and asked.removeprefix("-").isdigit()):
        return None
    revision = int(asked) or _last(sets)
    if not revision:
        return _told(deployment, WARNING, "DeploymentRollbackRevisionNotFound", "Unable to find last revision.")
    wanted = next((rs for rs in sets if revision_of(rs) == revision), None)
    if wanted is None:
        text = "Unable to find the revision to rollback to."
        return _told(deployment, WARNING, "DeploymentRollbackRevisionNotFound", text)
    template = dig(wanted, "spec", "template", default={})
    if same_template(template, dig(deployment, "spec", "template", default={})):
        text = f'The rollback revision contains the same template as current deployment "{name_of(deployment)}"'
        return _told(deployment, WARNING, "DeploymentRollbackTemplateUnchanged", text)
    kept = {key: value for key, value in annotations_of(deployment).items() if not copied(key)}
    annotations = kept | {key: value for key, value in annotations_of(wanted).items() if copied(key)}
    changed = {
        **deployment, "metadata": {**meta(deployment), "annotations": annotations},
        "spec": {**deployment["spec"], "template": _without_hash(template)},
    }
    text = f'Rolled back deployment "{name_of(deployment)}" to revision {revision}'
    return _told(changed, NORMAL, "DeploymentRollback", text)


def _last(sets: Sequence[Object]) -> int:
    """The revision before the highest; 0 if there is none."""
    found = sorted((revision_of(rs) for rs in sets), reverse=True)
    return found[1] if len(found) > 1 else 0


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _told(deployment: Object, type: str, reason: str, message: str) -> Plan:
    """Take the annotation away, and say what was done."""
    annotations = {key: value for key, value in annotations_of(deployment).items() if key != ROLLBACK_TO}
    changed = {**deployment, "metadata": {**meta(deployment), "annotations": annotations}}
    return Plan((Update(DEPLOYMENTS, changed),), (Note(deployment, type, reason, message),))

"""PodTemplate: a pod template stored on its own."""

from __future__ import annotations

from sampan.api.columns import NAME, container_field, labels_cell
from sampan.api.core.pod_template import default_template, validate_template
from sampan.api.kind import Column, Kind
from sampan.api.resources import POD_TEMPLATES
from sampan.api.strategy import count_generation, ensure, start_generation
from sampan.api.warnings import workloads
from sampan.apimachinery.field import FieldError, Path
from sampan.apimachinery.object import Object


def default(obj: Object) -> None:
    default_template(ensure(obj, "template"))


def validate(obj: Object) -> list[FieldError]:
    return validate_template(obj.get("template") or {}, Path("template"))


POD_TEMPLATE = Kind(
    resource=POD_TEMPLATES,
    definition="io.k8s.api.core.v1.PodTemplate",
    singular="podtemplate",
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    warnings=workloads.pod_template,
    columns=(
        NAME,
        Column("Containers", "string", container_field("name", "template", "spec"),
               "Names of each container in the template."),
        Column("Images", "string", container_field("image", "template", "spec"),
               "Images referenced by each container in the template."),
        Column("Pod Labels", "string", labels_cell("template", "metadata", "labels"),
               "The labels for the pod template."),
    ),
)

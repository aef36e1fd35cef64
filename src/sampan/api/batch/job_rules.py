"""Job: the rules of its spec, of its updates and of its status."""

from __future__ import annotations

from sampan.api.core.pod_template import validate_template
from sampan.api.counts import not_negative
from sampan.api.selector_rules import matches, validate_label_selector
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.object import Object, dig, uid_of

_RESTART = ("Never", "OnFailure")
_MODES = ("Indexed", "NonIndexed")
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
           "backoffLimitPerIndex", "maxFailedIndexes")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MAX_INDEXED = 100_000
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_job_spec(spec, path)
    selector = spec.get("selector")
    labels = dig(spec, "template", "metadata", "labels", default={})
    if selector is None:
        errors.append(required(path.child("selector")))
    else:
        errors += validate_label_selector(selector, path.child("selector"))
        if not matches(selector, labels):
            errors.append(invalid(path.child("template", "metadata", "labels"), labels,
                                  "`selector` does not match template `labels`"))
    if selector is not None and not spec.get("manualSelector"):
        errors += _generated(obj, labels, path)
    return errors


def _generated(obj: Object, labels: dict[str, str], path: Path) -> list[FieldError]:
    """The labels that tie pods to this job and no other."""
    where = path.child("template", "metadata", "labels")
    errors: list[FieldError] = []
    for key, wanted in (("controller-uid", uid_of(obj)), ("job-name", dig(obj, "metadata", "name", default=""))):
        found = labels.get(f"batch.kubernetes.io/{key}", labels.get(key))
        if found != wanted:
            errors.append(required(where, f"must be '{wanted}'") if found is None else
                          invalid(where, labels, f"must be '{wanted}'"))
    generated = ({"matchLabels": {f"{prefix}controller-uid": uid_of(obj)}} for prefix in ("batch.kubernetes.io/", ""))
    if dig(obj, "spec", "selector") not in generated:
        errors.append(invalid(path.child("selector"), dig(obj, "spec", "selector"),
                              "`selector` not auto-generated"))
    return errors


def validate_job_spec(spec: Object, path: Path) -> list[FieldError]:
    """What holds for the template of a CronJob too."""
    errors: list[FieldError] = []
    for key in _COUNTS:
        errors += not_negative(spec.get(key), path.child(key))
    errors += _completion_mode(spec, path)
    errors += validate_template(spec.get("template") or {}, path.child("template"))
    policy = dig(spec, "template", "spec", "restartPolicy", default="")
    where = path.child("template", "spec", "restartPolicy")
    if policy in ("", "Always"):
        errors.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif policy not in _RESTART:
        errors.append(not_supported(where, policy, _RESTART))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.append(invalid(where, policy, "only \"Never\" is supported when podFailurePolicy is specified"))
    return errors + _failure_policy(spec, path.child("podFailurePolicy"))


def _completion_mode(spec: Object, path: Path) -> list[FieldError]:
    mode, completions = spec.get("completionMode"), spec.get("completions")
    errors: list[FieldError] = []
    if mode is not None and mode not in _MODES:
        errors.append(not_supported(path.child("completionMode"), mode, _MODES))
    if mode == "Indexed":
        if completions is None:
            errors.append(required(path.child("completions"), "when completion mode is Indexed"))
        if (spec.get("parallelism") or 0) > _MAX_INDEXED:
            errors.append(invalid(path.child("parallelism"), spec["parallelism"],
                                  f"must be less than or equal to {_MAX_INDEXED} when completion mode is Indexed"))
    elif spec.get("backoffLimitPerIndex") is not None:
        errors.append(invalid(path.child("backoffLimitPerIndex"), spec["backoffLimitPerIndex"],
                              "requires indexed completion mode"))
    return errors


def _failure_policy(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    names = {container.get("name") for key in ("containers", "initContainers")
             for container in dig(spec, "template", "spec", key, default=())}
    for position, rule in enumerate(dig(spec, "podFailurePolicy", "rules", default=())):
        where, action, codes = path.child("rules").index(position), rule.get("action") or "", rule.get("onExitCodes")
        if not action:
            errors.append(required(where.child("action"), f"valid values: {list(_ACTIONS)}"))
        elif action not in _ACTIONS:
            errors.append(not_supported(where.child("action"), action, _ACTIONS))
        if codes is not None and rule.get("onPodConditions"):
            errors.append(invalid(where, "", "specifying both OnExitCodes and OnPodConditions is not supported"))
        if codes is None and not rule.get("onPodConditions"):
            errors.append(invalid(where, "", "specifying one of OnExitCodes and OnPodConditions is required"))
        if codes is not None:
            errors += _exit_codes(codes, names, where.child("onExitCodes"))
    return errors


def _exit_codes(codes: Object, names: set[str | None], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values, name = codes.get("operator") or "", codes.get("values") or [], codes.get("containerName")
    if operator not in ("In", "NotIn"):
        errors.append(not_supported(path.child("operator"), operator, ("In", "NotIn")))
    if name is not None and name not in names:
        errors.append(invalid(path.child("containerName"), name, "must be one of the container or initContainer names "
                                                                 "in the pod template"))
    if not values:
        errors.append(invalid(path.child("values"), values, "at least one value is required"))
    if operator == "In" and 0 in values:
        errors.append(invalid(path.child("values").index(values.index(0)), 0,
                              "must not be 0 for the In operator"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """A job's pods are settled, except where they go, while it is suspended and has not started."""
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    if after.get("completionMode") != "Indexed" or after.get("completions") != after.get("parallelism"):
        errors += immutable(after.get("completions"), before.get("completions"), path.child("completions"))
    errors += immutable(after.get("selector"), before.get("selector"), path.child("selector"))
    template, was = after.get("template"), before.get("template")
    if before.get("suspend") and dig(old, "status", "startTime") is None:
        template, was = _without_directives(template or {}), _without_directives(was or {})
    if template != was:
        errors += immutable(after.get("template"), before.get("template"), path.child("template"))
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        errors += immutable(after.get(key), before.get(key), path.child(key))
    return errors


def _without_directives(template: Object) -> Object:
    """A template without what steers its pods to nodes."""
    spec = {key: value for key, value in (template.get("spec") or {}).items() if key not in _SCHEDULING}
    metadata = {key: value for key, value in (template.get("metadata") or {}).items()
                if key not in ("labels", "annotations")}
    return {"metadata": metadata, "spec": spec}


def validate_status(new: Object, old: Object) -> list[FieldError]:
    status, path = new.get("status") or {}, Path("status")
    errors: list[FieldError] = []
    for key in ("active", "succeeded", "failed", "ready", "terminating"):
        errors += not_negative(status.get(key), path.child(key))
    true = {condition.get("type") for condition in status.get("conditions") or []
            if condition.get("status") == "True"}
    if {"Complete", "Failed"} <= true:
        errors.append(invalid(path.child("conditions"), "", "cannot set Complete=True and Failed=true conditions"))
    was = {condition.get("type") for condition in dig(old, "status", "conditions", default=())
           if condition.get("status") == "True"}
    errors += [forbidden(path.child("conditions"), f"cannot disable the terminal {kind}=True condition")
               for kind in ("Complete", "Failed") if kind in was and kind not in true]
    return errors

"""Pods, and the templates that workloads make them of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sampan.api.warnings.addresses import ip_warnings
from sampan.api.warnings.node_labels import DEPRECATED, term_warnings
from sampan.api.warnings.volumes import fractional, pod_volumes
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.names import dns1123_label
from sampan.apimachinery.object import Object, annotations_of, dig, name_of

_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SECCOMP: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF: Final = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_WARNING: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APP_ARMOR_OF: Final = "container.apparmor.security.beta.kubernetes.io/"
_APP_ARMOR_WARNING: Final = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_BYTES: Final = ("memory", "ephemeral-storage")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_PLACING: Final = frozenset({"nodeSelector", "topologySpreadConstraints", "affinity"})
_NAMING: Final = frozenset({"hostAliases", "imagePullSecrets", "dnsConfig"})
_NO_SELECTOR: Final = "a null labelSelector results in matching no pod"


def pod(new: Object, old: Object | None) -> Iterator[str]:
    """Of a new pod; later changes are mostly made by programs, which nobody would tell."""
    if old is None:
        if why := dns1123_label(name_of(new)):
            yield "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS " \
                  f"label is recommended: [{' '.join(why)}]"
        yield from template_warnings("", new)


def names_pods(obj: Object) -> Iterator[str]:
    """Of a workload whose name becomes part of its pods' hostnames."""
    if why := dns1123_label(name_of(obj)):
        yield "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a " \
              f"DNS label is recommended: [{' '.join(why)}]"


def template_warnings(where: str, template: Object) -> Iterator[str]:
    """Of a pod or a template; `where` is its place, "" or `spec.template.`."""
    spec, notes = template.get("spec") or {}, annotations_of(template)
    if not _PLACING.isdisjoint(spec):
        yield from _placement(where, spec)
    for key, why in _ANNOTATIONS.items() if notes else ():
        if key in notes:
            yield f"{where}metadata.annotations[{key}]: {why}"
    if spec.get("volumes"):
        yield from pod_volumes(where, spec["volumes"])
    if not _NAMING.isdisjoint(spec):
        yield from _doubtful_names(where, spec)
    for key in _BYTES if spec.get("overhead") else ():
        if key in spec["overhead"]:
            yield from fractional(f"{where}spec.overhead[{key}]", spec["overhead"][key])
    if _SECCOMP in notes and dig(spec, "securityContext", "seccompProfile") is None:
        yield f"{where}metadata.annotations[{_SECCOMP}]: {_SECCOMP_WARNING}"
    ports = 0
    for kind in _CONTAINERS:
        for position, container in enumerate(spec.get(kind) or ()):
            if container.get("resources") or len(container.get("env") or ()) > 1:
                yield from _container(f"{where}spec.{kind}[{position}]", container)
            if notes:
                yield from _profiles(where, spec, container, notes)
            ports += sum(2 if "hostIP" in port else 1 for port in container.get("ports") or ())
    if ports > 1:
        yield from _ports(where, spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{where}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be " \
              "treated as 1"


def _placement(where: str, spec: Object) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in DEPRECATED:
            yield f"{where}spec.nodeSelector[{key}]: {DEPRECATED[key]}"
    for position, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        here, key = f"{where}spec.topologySpreadConstraints[{position}]", spread.get("topologyKey", "")
        if key in DEPRECATED:
            yield f"{here}.topologyKey: {key} is {DEPRECATED[key]}"
        if spread.get("labelSelector") is None:
            yield f"{here}.labelSelector: {_NO_SELECTOR}"
    affinity = spec.get("affinity")
    if not affinity:
        return
    here = f"{where}spec.affinity.nodeAffinity"
    for position, term in enumerate(dig(affinity, "nodeAffinity", _REQUIRED, "nodeSelectorTerms", default=())):
        yield from term_warnings(f"{here}.{_REQUIRED}.nodeSelectorTerms[{position}]", term)
    for position, term in enumerate(dig(affinity, "nodeAffinity", _PREFERRED, default=())):
        preference = term.get("preference") or {}
        yield from term_warnings(f"{here}.{_PREFERRED}[{position}].preference", preference, values=True)
    for kind in ("podAffinity", "podAntiAffinity"):
        here = f"{where}spec.affinity.{kind}"
        for position, term in enumerate(dig(affinity, kind, _REQUIRED, default=())):
            if term.get("labelSelector") is None:
                yield f"{here}.{_REQUIRED}[{position}].labelSelector: {_NO_SELECTOR}"
        for position, term in enumerate(dig(affinity, kind, _PREFERRED, default=())):
            if dig(term, "podAffinityTerm", "labelSelector") is None:
                yield f"{here}.{_PREFERRED}[{position}].podAffinityTerm.labelSelector: {_NO_SELECTOR}"


def _doubtful_names(where: str, spec: Object) -> Iterator[str]:
    """Host aliases, pull secrets and name servers."""
    seen: set[Any] = set()
    for position, alias in enumerate(spec.get("hostAliases") or ()):
        here, address = f"{where}spec.hostAliases[{position}].ip", alias.get("ip") or ""
        yield from ip_warnings(here, address)
        if address in seen:
            yield f"{here}: duplicate ip {quoted(address)}"
        seen.add(address)
    seen = set()
    for position, secret in enumerate(spec.get("imagePullSecrets") or ()):
        here, name = f"{where}spec.imagePullSecrets[{position}].name", secret.get("name") or ""
        if not name:
            yield f'{here}: invalid empty name ""'
        elif name in seen:
            yield f"{here}: duplicate name {quoted(name)}"
        seen.add(name)
    for position, address in enumerate(dig(spec, "dnsConfig", "nameservers", default=())):
        yield from ip_warnings(f"{where}spec.dnsConfig.nameservers[{position}]", address)


def _container(here: str, container: Object) -> Iterator[str]:
    resources = container.get("resources")
    if resources:
        for key in ("limits", "requests"):
            for name, value in (resources.get(key) or {}).items():
                if name in _BYTES:
                    yield from fractional(f"{here}.resources.{key}[{name}]", value)
    variables = container.get("env") or ()
    if len(variables) > 1:
        seen: set[str] = set()
        for position, one in enumerate(variables):
            name, value = one.get("name", ""), one.get("value") or ""
            itself = f"$({name})"
            if name in seen and (one.get("valueFrom") is not None or value == itself or itself not in value):
                yield f"{here}.env[{position}]: " \
                      f"hides previous definition of {quoted(name)}, which may be dropped when using apply"
            seen.add(name)


def _profiles(where: str, spec: Object, container: Object, notes: dict[str, str]) -> Iterator[str]:
    """Annotations about profiles, if no field says the same."""
    context, name = container.get("securityContext") or {}, container.get("name", "")
    key = _SECCOMP_OF + name
    if key in notes and context.get("seccompProfile") is None:
        yield f"{where}metadata.annotations[{key}]: {_SECCOMP_WARNING}"
    key = _APP_ARMOR_OF + name
    if key in notes and context.get("appArmorProfile") is None \
            and dig(spec, "securityContext", "appArmorProfile") is None:
        yield f"{where}metadata.annotations[{key}]: {_APP_ARMOR_WARNING}"


def _ports(where: str, spec: Object) -> Iterator[str]:
    containers = [
        (f"{where}spec.{kind}[{position}]", container)
        for kind in _CONTAINERS for position, container in enumerate(spec.get(kind) or ())
    ]
    by_name: dict[str, str] = {}
    by_number: dict[tuple[Any, Any], list[tuple[str, Object]]] = {}
    for place, container in containers:
        has_names = ".initContainers[" not in place or container.get("restartPolicy") == "Always"
        for position, port in enumerate(container.get("ports") or ()):
            here, name = f"{place}.ports[{position}]", port.get("name") or ""
            if name and has_names and (first := by_name.setdefault(name, here)) != here:
                yield f"{here}: duplicate port name {quoted(name)} with {first}, services and probes that select " \
                      f"ports by name will use {first}"
            if port.get("hostIP") and not port.get("hostPort"):
                shown = f"Name:{name} HostPort:0 ContainerPort:{port.get('containerPort')} " \
                        f"Protocol:{port.get('protocol')} HostIP:{port['hostIP']}"
                yield f"{here}: hostIP set without hostPort: {{{shown}}}"
            others = by_number.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other, its_port in others:
                if problem := _conflict(port, its_port):
                    yield f"{here}: {problem} port definition with {other}"
            others.append((here, port))


def _conflict(one: Object, other: Object) -> str:
    """Of two definitions of the same port and protocol."""
    addresses = one.get("hostIP") or "", other.get("hostIP") or ""
    ports = one.get("hostPort") or 0, other.get("hostPort") or 0
    if addresses[0] == addresses[1] and ports[0] == ports[1]:
        return "duplicate"
    if not all(ports):
        return "overlapping"
    return "dangerously ambiguous" if ports[0] == ports[1] and "" in addresses else ""

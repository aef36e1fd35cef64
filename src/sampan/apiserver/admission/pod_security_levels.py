"""The Pod Security Standards: what the levels baseline and restricted forbid, in upstream's words.

`violations(level, spec)` is pure: each check looks at a pod's spec and yields at most one complaint, `title (detail)`.
Source: "Pod Security Standards" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from sampan.apimachinery.object import Object, dig

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS: Final = (PRIVILEGED, BASELINE, RESTRICTED)

Check: TypeAlias = Callable[[Object], str]
"""A complaint, or nothing."""

_CAPABILITIES: Final = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})
_SYSCTLS: Final = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})
_SELINUX_TYPES: Final = frozenset({
    "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t",
})
_VOLUMES: Final = frozenset({
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
    "image",
})
_PROFILES: Final = ("RuntimeDefault", "Localhost")


def violations(level: str, spec: Object) -> list[str]:
    """All complaints that a level has about a pod's spec, in upstream's order; none for `privileged`."""
    checks = {PRIVILEGED: (), BASELINE: _BASELINE, RESTRICTED: _RESTRICTED}[level]
    return [complaint for check in checks if (complaint := check(spec))]


def containers(spec: Object) -> list[Object]:
    return [one for kind in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(kind) or ()]


def _contexts(spec: Object) -> list[tuple[str, Object]]:
    return [(str(one.get("name", "")), one.get("securityContext") or {}) for one in containers(spec)]


def _listed(noun: str, names: Iterable[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    found = list(names)
    return f"{noun}{'s' if len(found) > 1 else ''} " + ", ".join(f'"{name}"' for name in found)


def _must(title: str, names: list[str], what: str, prefix: str = "") -> str:
    return f"{title} ({prefix}{_listed('container', names)} must {what})" if names else ""


def _privilege_escalation(spec: Object) -> str:
    names = [name for name, context in _contexts(spec) if context.get("allowPrivilegeEscalation") is not False]
    return _must("allowPrivilegeEscalation != false", names, "set securityContext.allowPrivilegeEscalation=false")


def _app_armor(spec: Object) -> str:
    wrong = [
        name for name, context in _contexts(spec) if dig(context, "appArmorProfile", "type") == "Unconfined"
    ]
    what = 'not set AppArmor profile type to "Unconfined"'
    if dig(spec, "securityContext", "appArmorProfile", "type") == "Unconfined":
        return f"forbidden AppArmor profile (pod must {what})"
    return _must("forbidden AppArmor profile", wrong, what)


def _added_capabilities(spec: Object, allowed: frozenset[str]) -> str:
    names, wrong = [], set()
    for name, context in _contexts(spec):
        extra = set(dig(context, "capabilities", "add", default=())) - allowed
        if extra:
            names.append(name)
            wrong |= extra
    if not names:
        return ""
    shown = ", ".join(f'"{one}"' for one in sorted(wrong))
    return f"{_listed('container', names)} must not include {shown} in securityContext.capabilities.add"


def _capabilities(spec: Object) -> str:
    found = _added_capabilities(spec, _CAPABILITIES)
    return f"non-default capabilities ({found})" if found else ""


def _restricted_capabilities(spec: Object) -> str:
    keeping = [
        name for name, context in _contexts(spec) if "ALL" not in dig(context, "capabilities", "drop", default=())
    ]
    found = [f'{_listed("container", keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    added = _added_capabilities(spec, frozenset({"NET_BIND_SERVICE"}))
    found += [added] if added else []
    return f"unrestricted capabilities ({'; '.join(found)})" if found else ""


def _host_namespaces(spec: Object) -> str:
    used = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def _host_paths(spec: Object) -> str:
    names = [str(volume.get("name", "")) for volume in spec.get("volumes") or () if volume.get("hostPath")]
    return f"hostPath volumes ({_listed('volume', names)})" if names else ""


def _host_ports(spec: Object) -> str:
    names, ports = [], set()
    for container in containers(spec):
        used = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            names.append(str(container.get("name", "")))
            ports |= used
    if not names:
        return ""
    verb, noun = ("use" if len(names) > 1 else "uses"), ("hostPorts" if len(ports) > 1 else "hostPort")
    return f"hostPort ({_listed('container', names)} {verb} {noun} {', '.join(map(str, sorted(ports)))})"


def _privileged(spec: Object) -> str:
    names = [name for name, context in _contexts(spec) if context.get("privileged")]
    return _must("privileged", names, "not set securityContext.privileged=true")


def _proc_mount(spec: Object) -> str:
    names = [name for name, context in _contexts(spec) if context.get("procMount", "Default") != "Default"]
    return _must("procMount", names, 'not set securityContext.procMount to "Unmasked"')


def _volume_types(spec: Object) -> str:
    names, types = [], set()
    for volume in spec.get("volumes") or ():
        wrong = set(volume) - _VOLUMES
        if wrong:
            names.append(str(volume.get("name", "")))
            types |= wrong
    if not names:
        return ""
    verb, noun = ("use" if len(names) > 1 else "uses"), ("types" if len(types) > 1 else "type")
    shown = ", ".join(f'"{one}"' for one in sorted(types))
    return f"restricted volume types ({_listed('volume', names)} {verb} restricted volume {noun} {shown})"


def _non_root(spec: Object) -> str:
    pod = dig(spec, "securityContext", "runAsNonRoot")
    explicit = [name for name, context in _contexts(spec) if context.get("runAsNonRoot") is False]
    if explicit:
        return _must("runAsNonRoot != true", explicit, "not set securityContext.runAsNonRoot=false")
    if pod:
        return ""
    names = [name for name, context in _contexts(spec) if context.get("runAsNonRoot") is None]
    if pod is False and names:
        return "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"
    return _must("runAsNonRoot != true", names, "set securityContext.runAsNonRoot=true", "pod or ")


def _root_user(spec: Object) -> str:
    found = ["pod"] if dig(spec, "securityContext", "runAsUser") == 0 else []
    names = [name for name, context in _contexts(spec) if context.get("runAsUser") == 0]
    found += [_listed("container", names)] if names else []
    return f"runAsUser=0 ({' and '.join(found)} must not set runAsUser=0)" if found else ""


def _selinux(spec: Object) -> str:
    names, wrong = [], set()
    for name, context in [("", spec.get("securityContext") or {}), *_contexts(spec)]:
        options = context.get("seLinuxOptions") or {}
        found = {f'{key} may not be set' for key in ("user", "role") if options.get(key)}
        if options.get("type", "") not in _SELINUX_TYPES:
            found.add(f'type "{options["type"]}"')
        if found:
            names.append(name)
            wrong |= found
    if not names:
        return ""
    who = "pod" if names == [""] else _listed("container", [name for name in names if name])
    return f"seLinuxOptions ({who} set forbidden securityContext.seLinuxOptions: {'; '.join(sorted(wrong))})"


def _seccomp(spec: Object) -> str:
    what = 'not set securityContext.seccompProfile.type to "Unconfined"'
    if dig(spec, "securityContext", "seccompProfile", "type") == "Unconfined":
        return f"seccompProfile (pod must {what})"
    wrong = [name for name, context in _contexts(spec) if dig(context, "seccompProfile", "type") == "Unconfined"]
    return _must("seccompProfile", wrong, what)


def _restricted_seccomp(spec: Object) -> str:
    pod_is_good = dig(spec, "securityContext", "seccompProfile", "type") in _PROFILES
    wrong = [
        name for name, context in _contexts(spec)
        if (found := dig(context, "seccompProfile", "type")) not in _PROFILES and not (found is None and pod_is_good)
    ]
    what = 'set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return _must("seccompProfile", wrong, what, "pod or ")


def _sysctls(spec: Object) -> str:
    names = [one.get("name", "") for one in dig(spec, "securityContext", "sysctls", default=())]
    wrong = [name for name in names if name not in _SYSCTLS]
    return f"forbidden sysctls ({', '.join(wrong)})" if wrong else ""


def _host_process(spec: Object) -> str:
    what = "not set securityContext.windowsOptions.hostProcess=true"
    if dig(spec, "securityContext", "windowsOptions", "hostProcess"):
        return f"hostProcess (pod must {what})"
    wrong = [name for name, context in _contexts(spec) if dig(context, "windowsOptions", "hostProcess")]
    return _must("hostProcess", wrong, what)


_BASELINE: Final[tuple[Check, ...]] = (
    _app_armor, _capabilities, _host_namespaces, _host_paths, _host_ports, _privileged, _proc_mount, _selinux, _seccomp,
    _sysctls, _host_process,
)
_RESTRICTED: Final[tuple[Check, ...]] = (
    _privilege_escalation, _app_armor, _restricted_capabilities, _host_namespaces, _host_ports, _privileged,
    _proc_mount, _volume_types, _non_root, _root_user, _selinux, _restricted_seccomp, _sysctls, _host_process,
)

"""The checks of the Pod Security Standards, in upstream's words: each yields a complaint, `title (detail)`, or nothing.

Source: "Pod Security Standards" in the Kubernetes documentation; what changed with a version is asked of the subject.
"""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.object import Object, dig
from sampan.apiserver.admission.pod_security_subject import Subject, listed, plural, quoted, setters

_CAPABILITIES: Final = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})
_SYSCTLS: Final = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.tcp_syncookies": 0, "net.ipv4.ping_group_range": 0, "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29, "net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}
"""Safe sysctls, and the minor version since which they are."""
_SELINUX_TYPES: Final = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}
_VOLUMES: Final = frozenset({
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
    "image",
})
_PROFILES: Final = ("RuntimeDefault", "Localhost")
_APP_ARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_ANNOTATION: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_ANNOTATION_OF: Final = "container.seccomp.security.alpha.kubernetes.io/"
_PROBES: Final = (("livenessProbe",), ("readinessProbe",), ("startupProbe",), ("lifecycle", "postStart"),
                  ("lifecycle", "preStop"))


def privilege_escalation(pod: Subject) -> str:
    if pod.is_exempt_as_windows():
        return ""
    names = [name for name, context in pod.contexts() if context.get("allowPrivilegeEscalation") is not False]
    what = "set securityContext.allowPrivilegeEscalation=false"
    return f"allowPrivilegeEscalation != false ({setters(names)} must {what})" if names else ""


def app_armor(pod: Subject) -> str:
    def is_wrong(context: Object) -> bool:
        return dig(context, "appArmorProfile", "type", default=_PROFILES[0]) not in _PROFILES

    names = [name for name, context in pod.contexts() if is_wrong(context)]
    wrong = {str(dig(context, "appArmorProfile", "type"))
             for context in (pod.security, *(one for _, one in pod.contexts())) if is_wrong(context)}
    noted = {
        f"{key}={quoted([value])}" for key, value in pod.annotations.items()
        if key.startswith(_APP_ARMOR_ANNOTATION) and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    }
    if not wrong and not noted:
        return ""
    who = setters(names, pod=is_wrong(pod.security))
    who = " and ".join([*([who] if who else []), *([plural("annotation", len(noted))] if noted else [])])
    title = plural("forbidden AppArmor profile", len(wrong | noted))
    return f"{title} ({who} must not set AppArmor profile type to {quoted(sorted(wrong | noted))})"


def _added_capabilities(pod: Subject, allowed: frozenset[str]) -> str:
    names, wrong = [], set()
    for name, context in pod.contexts():
        extra = set(dig(context, "capabilities", "add", default=())) - allowed
        if extra:
            names.append(name)
            wrong |= extra
    what = f"must not include {quoted(sorted(wrong))} in securityContext.capabilities.add"
    return f"{setters(names)} {what}" if names else ""


def capabilities(pod: Subject) -> str:
    found = _added_capabilities(pod, _CAPABILITIES)
    return f"non-default capabilities ({found})" if found else ""


def restricted_capabilities(pod: Subject) -> str:
    if pod.is_exempt_as_windows():
        return ""
    keeping = [
        name for name, context in pod.contexts() if "ALL" not in dig(context, "capabilities", "drop", default=())
    ]
    found = [f'{setters(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    added = _added_capabilities(pod, frozenset({"NET_BIND_SERVICE"}))
    found += [added] if added else []
    return f"unrestricted capabilities ({'; '.join(found)})" if found else ""


def host_namespaces(pod: Subject) -> str:
    used = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def host_paths(pod: Subject) -> str:
    names = [
        str(volume.get("name", "")) for volume in pod.spec.get("volumes") or () if volume.get("hostPath") is not None
    ]
    return f"hostPath volumes ({listed('volume', names)})" if names else ""


def host_ports(pod: Subject) -> str:
    names, ports = [], set()
    for container in pod.containers:
        used = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            names.append(str(container.get("name", "")))
            ports |= used
    if not names:
        return ""
    verb = "use" if len(names) > 1 else "uses"
    return f"hostPort ({setters(names)} {verb} {plural('hostPort', len(ports))} {', '.join(sorted(ports))})"


def host_probes(pod: Subject) -> str:
    names, hosts = [], set()
    for container in pod.containers:
        used = {
            str(host) for path in _PROBES for handler in ("httpGet", "tcpSocket")
            if (host := dig(container, *path, handler, "host"))
        }
        if used:
            names.append(str(container.get("name", "")))
            hosts |= used
    if not names:
        return ""
    verb, noun = ("use" if len(names) > 1 else "uses"), plural("probe or lifecycle host", len(hosts))
    return f"probe or lifecycle host ({setters(names)} {verb} {noun} {quoted(sorted(hosts))})"


def privileged(pod: Subject) -> str:
    names = [name for name, context in pod.contexts() if context.get("privileged")]
    return f"privileged ({setters(names)} must not set securityContext.privileged=true)" if names else ""


def proc_mount(pod: Subject) -> str:
    return "" if pod.has_own_users() else restricted_proc_mount(pod)


def restricted_proc_mount(pod: Subject) -> str:
    names = [name for name, context in pod.contexts() if context.get("procMount", "Default") != "Default"]
    wrong = {context["procMount"] for _, context in pod.contexts() if context.get("procMount", "Default") != "Default"}
    what = f"must not set securityContext.procMount to {quoted(sorted(wrong))}"
    return f"procMount ({setters(names)} {what})" if names else ""


def volume_types(pod: Subject) -> str:
    names, types = [], set()
    for volume in pod.spec.get("volumes") or ():
        wrong = set(volume) - _VOLUMES
        if wrong:
            names.append(str(volume.get("name", "")))
            types |= wrong
    if not names:
        return ""
    verb, noun = ("use" if len(names) > 1 else "uses"), plural("restricted volume type", len(types))
    return f"restricted volume types ({listed('volume', names)} {verb} {noun} {quoted(sorted(types))})"


def non_root(pod: Subject) -> str:
    if pod.has_own_users():
        return ""
    of_pod = pod.security.get("runAsNonRoot")
    explicit = [name for name, context in pod.contexts() if context.get("runAsNonRoot") is False]
    if explicit or of_pod is False:
        who = setters(explicit, pod=of_pod is False)
        return f"runAsNonRoot != true ({who} must not set securityContext.runAsNonRoot=false)"
    names = [name for name, context in pod.contexts() if context.get("runAsNonRoot") is None and not of_pod]
    what = "must set securityContext.runAsNonRoot=true"
    return f"runAsNonRoot != true (pod or {setters(names)} {what})" if names else ""


def root_user(pod: Subject) -> str:
    if pod.has_own_users():
        return ""
    names = [name for name, context in pod.contexts() if context.get("runAsUser") == 0]
    who = setters(names, pod=pod.security.get("runAsUser") == 0)
    return f"runAsUser=0 ({who} must not set runAsUser=0)" if who else ""


def selinux(pod: Subject) -> str:
    def is_wrong(options: Object) -> bool:
        allowed = _SELINUX_TYPES.get(options.get("type", ""), pod.minor + 1) <= pod.minor
        return not allowed or bool(options.get("user") or options.get("role"))

    of_pod = pod.security.get("seLinuxOptions") or {}
    of_containers = [(name, context.get("seLinuxOptions") or {}) for name, context in pod.contexts()]
    who = setters([name for name, options in of_containers if is_wrong(options)], pod=is_wrong(of_pod))
    if not who:
        return ""
    every = [of_pod, *(options for _, options in of_containers)]
    types = sorted({str(one["type"]) for one in every if is_wrong({"type": one.get("type", "")})})
    wrong = [f"{plural('type', len(types))} {quoted(types)}"] if types else []
    wrong += [f"{key} may not be set" for key in ("user", "role") if any(one.get(key) for one in every)]
    return f"seLinuxOptions ({who} set forbidden securityContext.seLinuxOptions: {'; '.join(wrong)})"


def seccomp(pod: Subject) -> str:
    """From 1.19 on the fields count, before that annotations did."""
    if pod.minor < 19:
        return _seccomp_annotations(pod)
    names = [
        name for name, context in pod.contexts() if dig(context, "seccompProfile", "type") not in (None, *_PROFILES)
    ]
    return _bad_seccomp(pod, names)


def _seccomp_annotations(pod: Subject) -> str:
    keys = [_SECCOMP_ANNOTATION, *(f"{SECCOMP_ANNOTATION_OF}{name}" for name, _ in pod.contexts())]
    wrong = sorted(
        f"{key}={quoted([value])}" for key in keys if (value := pod.annotations.get(key)) is not None
        and value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    )
    return f"seccompProfile (forbidden {plural('annotation', len(wrong))} {', '.join(wrong)})" if wrong else ""


def _bad_seccomp(pod: Subject, names: list[str]) -> str:
    of_pod = dig(pod.security, "seccompProfile", "type")
    who = setters(names, pod=of_pod not in (None, *_PROFILES))
    wrong = {dig(context, "seccompProfile", "type") for name, context in pod.contexts() if name in names}
    wrong |= set() if of_pod in (None, *_PROFILES) else {of_pod}
    what = f"must not set securityContext.seccompProfile.type to {quoted(sorted(wrong))}"
    return f"seccompProfile ({who} {what})" if who else ""


def restricted_seccomp(pod: Subject) -> str:
    if pod.is_exempt_as_windows():
        return ""
    found = seccomp(pod)
    if found:
        return found
    pod_is_good = dig(pod.security, "seccompProfile", "type") in _PROFILES
    names = [
        name for name, context in pod.contexts() if dig(context, "seccompProfile", "type") is None and not pod_is_good
    ]
    what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {setters(names)} {what})" if names else ""


def sysctls(pod: Subject) -> str:
    names = [one.get("name", "") for one in pod.security.get("sysctls") or ()]
    wrong = [name for name in names if _SYSCTLS.get(name, pod.minor + 1) > pod.minor]
    return f"forbidden sysctls ({', '.join(wrong)})" if wrong else ""


def host_process(pod: Subject) -> str:
    names = [name for name, context in pod.contexts() if dig(context, "windowsOptions", "hostProcess")]
    who = setters(names, pod=bool(dig(pod.security, "windowsOptions", "hostProcess")))
    return f"hostProcess ({who} must not set securityContext.windowsOptions.hostProcess=true)" if who else ""

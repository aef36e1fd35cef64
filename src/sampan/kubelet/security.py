"""Security contexts: from a pod's and container's `securityContext` to what the runtime is told. Pure.

A container's setting comes before the pod's. Defaults are upstream's: seccomp unconfined unless asked for, privilege
escalation allowed, the usual /proc and /sys paths masked.
"""

from __future__ import annotations

from sampan.apimachinery.object import Object, dig
from sampan.cri.runtime import ContainerSecurity, Image, NamespaceMode, Namespaces, SeccompProfile
from sampan.kubelet import spec
from sampan.kubelet.errors import ConfigError

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def namespaces(pod: Object) -> Namespaces:
    """Which namespaces the pod's containers share, and with whom."""
    chosen = pod["spec"]
    pid: NamespaceMode = "CONTAINER"
    if chosen.get("hostPID"):
        pid = "NODE"
    elif chosen.get("shareProcessNamespace"):
        pid = "POD"
    return Namespaces(
        network="NODE" if chosen.get("hostNetwork") else "POD", pid=pid, ipc="NODE" if chosen.get("hostIPC") else "POD"
    )


def effective(pod: Object, container: Object, key: str) -> object:
    """A field that both levels have: the container's, or else the pod's."""
    own = dig(container, "securityContext", key)
    return own if own is not None else dig(pod, "spec", "securityContext", key)


def seccomp(pod: Object, container: Object | None = None) -> SeccompProfile:
    """The profile of a container, or of the sandbox without one."""
    profile = effective(pod, container or {}, "seccompProfile")
    if not isinstance(profile, dict):
        return SeccompProfile("Unconfined")
    return SeccompProfile(profile.get("type", "Unconfined"), profile.get("localhostProfile", ""))


def supplemental_groups(pod: Object) -> tuple[int, ...]:
    """supplementalGroups and fsGroup."""
    context = pod["spec"].get("securityContext") or {}
    groups = [int(group) for group in context.get("supplementalGroups") or []]
    if context.get("fsGroup") is not None:
        groups.append(int(context["fsGroup"]))
    return tuple(dict.fromkeys(groups))


def is_privileged(container: Object) -> bool:
    return bool(dig(container, "securityContext", "privileged"))


def container_security(pod: Object, container: Object, image: Image, target_id: str = "") -> ContainerSecurity:
    """The container's context. Raises ConfigError when it must not run as root but would."""
    context = container.get("securityContext") or {}
    uid = effective(pod, container, "runAsUser")
    gid = effective(pod, container, "runAsGroup")
    verify_non_root(pod, container, image)
    capabilities = context.get("capabilities") or {}
    shared = namespaces(pod)
    if target_id:
        shared = Namespaces(shared.network, "TARGET", shared.ipc, target_id)
    unmasked = is_privileged(container) or context.get("procMount") == "Unmasked"
    run_as_user = int(str(uid)) if uid is not None else image.uid
    if run_as_user is None and not image.username:
        run_as_user = 0  # an image without a user is root's; runtimes refuse a group without a user
    return ContainerSecurity(
        privileged=is_privileged(container),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        run_as_user=run_as_user,
        run_as_username=image.username if run_as_user is None else "",
        run_as_group=int(str(gid)) if gid is not None else None,
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
        seccomp=SeccompProfile("Unconfined") if is_privileged(container) else seccomp(pod, container),
        namespaces=shared,
    )


def verify_non_root(pod: Object, container: Object, image: Image) -> None:
    """runAsNonRoot, with upstream's messages. Raises ConfigError."""
    if not effective(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{spec.full_name(pod)}", container: {container["name"]})'
    uid = effective(pod, container, "runAsUser")
    if uid is not None:
        if int(str(uid)) == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image.uid is None and image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if not image.uid:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")

"""The levels of the Pod Security Standards: which checks they make, and since which version of Kubernetes.

`violations(level, version, spec, annotations)` is pure. A namespace may ask for the levels as an older version had
them (`v1.24`); versions that do not exist yet count as the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from sampan import KUBERNETES_VERSION
from sampan.apimachinery.object import Object
from sampan.apiserver.admission import pod_security_checks as checks
from sampan.apiserver.admission.pod_security_subject import Subject

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS: Final = (PRIVILEGED, BASELINE, RESTRICTED)
LATEST: Final = "latest"
NEWEST_MINOR: Final = int(KUBERNETES_VERSION.split(".")[1])


class Check(NamedTuple):
    """`complaint` says what is wrong, or nothing; `instead`: the check of baseline that a restricted one stands for."""

    complaint: Callable[[Subject], str]
    since: int = 0
    instead: Callable[[Subject], str] | None = None


_BASELINE: Final = (
    Check(checks.app_armor), Check(checks.capabilities), Check(checks.host_namespaces), Check(checks.host_paths),
    Check(checks.host_ports), Check(checks.host_probes, 34), Check(checks.privileged), Check(checks.proc_mount),
    Check(checks.selinux), Check(checks.seccomp), Check(checks.sysctls), Check(checks.host_process),
)
_RESTRICTED: Final = (
    Check(checks.privilege_escalation, 8), Check(checks.restricted_capabilities, 22, checks.capabilities),
    Check(checks.restricted_proc_mount, 35, checks.proc_mount), Check(checks.volume_types, 0, checks.host_paths),
    Check(checks.non_root), Check(checks.root_user, 23), Check(checks.restricted_seccomp, 19, checks.seccomp),
)


def minor_of(version: str) -> int:
    """`latest` → 37, `v1.24` → 24; at most the newest there is."""
    return NEWEST_MINOR if version == LATEST else min(int(version.partition(".")[2]), NEWEST_MINOR)


def violations(level: str, version: str, spec: Object, annotations: Mapping[str, str] | None = None) -> list[str]:
    """All complaints of a level about a pod, in upstream's order: baseline's first; none for `privileged`."""
    if level == PRIVILEGED:
        return []
    minor = minor_of(version)
    strict = [check for check in _RESTRICTED if check.since <= minor] if level == RESTRICTED else []
    replaced = {check.instead for check in strict}
    made = [check for check in _BASELINE if check.since <= minor and check.complaint not in replaced]
    pod = Subject(spec, annotations or {}, minor)
    return [complaint for check in (*made, *strict) if (complaint := check.complaint(pod))]

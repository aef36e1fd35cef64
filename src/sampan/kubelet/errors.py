"""What can go wrong with a pod on its node, each with the reason and message that its status shows.

    KubeletError
    ├── ConfigError        CreateContainerConfigError
    ├── VolumeError        (event FailedMount; the pod waits)
    └── StartError         any other waiting reason: ErrImagePull, CrashLoopBackOff, RunContainerError, …
"""

from __future__ import annotations


class KubeletError(Exception):
    """Base of everything that stops a pod's progress and is shown to its owner."""

    reason = "KubeletError"

    @property
    def message(self) -> str:
        return str(self)


class ConfigError(KubeletError):
    """The container cannot be configured: a ConfigMap, Secret, key or field is missing or wrong."""

    reason = "CreateContainerConfigError"


class VolumeError(KubeletError):
    """A volume cannot be set up (yet)."""

    reason = "FailedMount"


class StartError(KubeletError):
    """A container could not be started; `reason` is its waiting state's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def go_code(code: str) -> str:
    """gRPC's code as Go prints it: DEADLINE_EXCEEDED -> DeadlineExceeded."""
    return "".join(part.capitalize() for part in code.split("_"))

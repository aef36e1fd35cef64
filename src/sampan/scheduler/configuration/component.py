"""What every component's configuration has: how it finds the API server, how it becomes leader (component-base)."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.scheduler.configuration.fields import Fields

_POSITIVE = "must be greater than zero"


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """`kubeconfig` is a file's name. Rates and content types are accepted: sampan's client does not limit itself."""

    kubeconfig: str = ""
    accept_content_types: str = ""
    content_type: str = "application/json"
    qps: float = 50.0
    burst: int = 100


@dataclass(frozen=True, slots=True)
class LeaderElection:
    """Which Lease is held while working, and for how long."""

    leader_elect: bool = True
    lease_duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0
    resource_lock: str = "leases"
    resource_name: str = "kube-scheduler"
    resource_namespace: str = "kube-system"


def read_client_connection(fields: Fields) -> ClientConnection:
    found = ClientConnection(
        fields.text("kubeconfig"), fields.text("acceptContentTypes"), fields.text("contentType", "application/json"),
        fields.number("qps", 50.0), fields.integer("burst", 100),
    )
    fields.done()
    if found.burst < 0:
        fields.errors.append(invalid(fields.path.child("burst"), found.burst, "must be non-negative"))
    return found


def read_leader_election(fields: Fields) -> LeaderElection:
    found = LeaderElection(
        fields.boolean("leaderElect", True), fields.seconds("leaseDuration", 15.0),
        fields.seconds("renewDeadline", 10.0), fields.seconds("retryPeriod", 2.0),
        fields.text("resourceLock") or "leases", fields.text("resourceName") or "kube-scheduler",
        fields.text("resourceNamespace") or "kube-system",
    )
    fields.done()
    fields.errors += validate_leader_election(found, fields.path)
    return found


def validate_leader_election(election: LeaderElection, path: Path) -> list[FieldError]:
    """Nothing is asked of one that is switched off."""
    if not election.leader_elect:
        return []
    times = {
        "leaseDuration": election.lease_duration_s, "renewDeadline": election.renew_deadline_s,
        "retryPeriod": election.retry_period_s,
    }
    errors = [invalid(path.child(name), _shown(value), _POSITIVE) for name, value in times.items() if value <= 0]
    if election.lease_duration_s < election.renew_deadline_s:
        detail = "LeaseDuration must be greater than RenewDeadline"
        errors.append(invalid(path.child("leaseDuration"), _shown(election.renew_deadline_s), detail))
    if election.renew_deadline_s < election.retry_period_s:
        detail = "RenewDeadline must be greater than RetryPeriod"
        errors.append(invalid(path.child("renewDeadline"), _shown(election.retry_period_s), detail))
    if election.resource_lock != "leases":
        detail = 'resourceLock value must be "leases"'
        errors.append(invalid(path.child("resourceLock"), election.resource_lock, detail))
    return errors


def _shown(seconds: float) -> str:
    return f"{seconds:g}s"

"""`sampan scheduler`: the scheduler alone, against any API server, with kube-scheduler's flags.

It finds the server by `--kubeconfig`, by clientConnection.kubeconfig of `--config`, or by the files that every pod has.
Flags win over the configuration file. On `--secure-port` it serves health and metrics over HTTPS, with a certificate of
its own making unless one is given. When it loses its Lease it ends with exit code 1, so that whoever runs it starts it
again.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from sampan.apimachinery.field import Path as FieldPath
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.kubeconfig import Credentials
from sampan.client.transport import HTTPTransport
from sampan.cmd import standalone
from sampan.cmd.component_server import SCHEDULER_PORT, ComponentServer, ServingFiles, Shown
from sampan.cmd.memory import settle
from sampan.scheduler.configuration.component import LeaderElection, validate_leader_election
from sampan.scheduler.configuration.configuration import Configuration, load
from sampan.scheduler.configuration.fields import ConfigurationError
from sampan.scheduler.kube_scheduler import ATTEMPTS, KubeScheduler
from sampan.scheduler.profiles import UnknownPlugin, check

log = logging.getLogger("sampan.scheduler")

HELP = "Run the scheduler alone, against any API server."


def main(arguments: Sequence[str]) -> None:
    """Run until a signal ends it. What a person can mend is one line on standard error and exit code 1."""
    flags = _parser().parse_args(arguments)
    standalone.log_to_stderr(flags.v)
    try:
        configuration = _configuration(flags)
        check(configuration.profiles)
        credentials = _credentials(flags, configuration)
        _run(flags, configuration, credentials)
    except (ConfigurationError, UnknownPlugin, kubeconfig.KubeconfigError, OSError) as error:
        raise SystemExit(f"sampan scheduler: {error}") from None
    except BaseExceptionGroup as group:
        raise SystemExit(f"sampan scheduler: {standalone.reason(group)}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sampan scheduler", description=HELP, allow_abbrev=False)
    add = parser.add_argument
    standalone.add_flags(parser, SCHEDULER_PORT)
    add("--config", metavar="FILE", help="a KubeSchedulerConfiguration")
    add("--leader-elect", type=standalone.truth, nargs="?", const=True, metavar="true|false")
    for name in ("lease-duration", "renew-deadline", "retry-period"):
        add(f"--leader-elect-{name}", type=standalone.seconds, metavar="15s")
    for name in ("lock", "name", "namespace"):
        add(f"--leader-elect-resource-{name}", metavar="TEXT")
    return parser


def _configuration(flags: argparse.Namespace) -> Configuration:
    """The file's, with what flags say of leader election."""
    configuration = load(flags.config) if flags.config else Configuration()
    given: dict[str, Any] = {
        "leader_elect": flags.leader_elect, "lease_duration_s": flags.leader_elect_lease_duration,
        "renew_deadline_s": flags.leader_elect_renew_deadline, "retry_period_s": flags.leader_elect_retry_period,
        "resource_lock": flags.leader_elect_resource_lock, "resource_name": flags.leader_elect_resource_name,
        "resource_namespace": flags.leader_elect_resource_namespace,
    }
    election: LeaderElection = dataclasses.replace(
        configuration.leader_election, **{name: value for name, value in given.items() if value is not None}
    )
    wrong = validate_leader_election(election, FieldPath("leaderElection"))
    if wrong:
        raise ConfigurationError(wrong)
    return dataclasses.replace(configuration, leader_election=election)


def _credentials(flags: argparse.Namespace, configuration: Configuration) -> Credentials:
    file = flags.kubeconfig or configuration.client_connection.kubeconfig
    return kubeconfig.load(file) if file else kubeconfig.in_cluster()


def _run(flags: argparse.Namespace, configuration: Configuration, credentials: Credentials) -> None:
    with standalone.serving_files(flags) as files:
        standalone.run(lambda: _serve(flags, configuration, credentials, files))


async def _serve(
    flags: argparse.Namespace, configuration: Configuration, credentials: Credentials, files: ServingFiles
) -> None:
    transport = HTTPTransport.from_credentials(credentials, user_agent="sampan/kube-scheduler")
    client = Client(transport, field_manager="kube-scheduler")
    scheduler = KubeScheduler(client, configuration, standalone.identity(), when_synced=settle)
    log.info(
        "scheduling for %s at %s", ", ".join(p.scheduler_name for p in configuration.profiles), credentials.server
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(scheduler.run(), name="scheduler")
            if flags.secure_port:
                server = ComponentServer(client, Shown(
                    {}, (scheduler,), scheduler.readiness(), {ATTEMPTS: scheduler.last_attempt},
                    name="kube-scheduler", flags=standalone.given(flags),
                ))
                files = await standalone.with_client_ca(client, files)
                group.create_task(server.run(flags.bind_address, flags.secure_port, files), name="health and metrics")
    finally:
        await client.close()

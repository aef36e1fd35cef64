"""`sampan scheduler`: the scheduler alone, against any API server, with kube-scheduler's flags.

It finds the server by `--kubeconfig`, by clientConnection.kubeconfig of `--config`, or by the files that every pod has.
Flags win over the configuration file. On `--secure-port` it serves health and metrics over HTTPS, with a certificate of
its own making unless one is given. When it loses its Lease it ends with exit code 1, so that whoever runs it starts it
again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from sampan import effects
from sampan.api.resources import CONFIG_MAPS
from sampan.apimachinery import errors
from sampan.apimachinery.duration import parse_go_duration
from sampan.apimachinery.field import Path as FieldPath
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.kubeconfig import Credentials
from sampan.client.leader_election import LeadershipLost
from sampan.client.transport import HTTPTransport
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
    level = logging.DEBUG if flags.v >= 4 else logging.INFO if flags.v else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    try:
        configuration = _configuration(flags)
        check(configuration.profiles)
        credentials = _credentials(flags, configuration)
        _run(flags, configuration, credentials)
    except (ConfigurationError, UnknownPlugin, kubeconfig.KubeconfigError, OSError) as error:
        raise SystemExit(f"sampan scheduler: {error}") from None
    except BaseExceptionGroup as group:
        raise SystemExit(f"sampan scheduler: {_reason(group)}") from None


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    """What a person needs to know of how a part ended; anything unforeseen keeps its traceback."""
    first = group.exceptions[0]
    if isinstance(first, LeadershipLost):
        return f"the Lease {first} was lost"
    if isinstance(first, OSError):
        return str(first)
    raise group


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sampan scheduler", description=HELP, allow_abbrev=False)
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", help="how to reach the API server")
    add("--config", metavar="FILE", help="a KubeSchedulerConfiguration")
    add("--bind-address", default="0.0.0.0", metavar="IP", help="where health and metrics are served")
    add("--secure-port", type=int, default=SCHEDULER_PORT, metavar="PORT", help="0 serves nothing")
    add("--tls-cert-file", default="", metavar="FILE")
    add("--tls-private-key-file", default="", metavar="FILE")
    add("--client-ca-file", default="", metavar="FILE", help="whose client certificates are believed")
    add("--leader-elect", type=_truth, nargs="?", const=True, metavar="true|false")
    for name in ("lease-duration", "renew-deadline", "retry-period"):
        add(f"--leader-elect-{name}", type=_seconds, metavar="15s")
    for name in ("lock", "name", "namespace"):
        add(f"--leader-elect-resource-{name}", metavar="TEXT")
    add("-v", "--v", type=int, default=2, metavar="LEVEL", help="0 logs what is wrong, 4 every request")
    return parser


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def _seconds(text: str) -> float:
    try:
        return parse_go_duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
    import uvloop

    with _serving_files(flags) as files, contextlib.suppress(asyncio.CancelledError):
        uvloop.run(_until_signalled(flags, configuration, credentials, files))


@contextlib.contextmanager
def _serving_files(flags: argparse.Namespace) -> Iterator[ServingFiles]:
    """The given certificate, or one that is made for this run and lives in memory, so that it ends with the process."""
    if flags.tls_cert_file:
        yield ServingFiles(flags.tls_cert_file, flags.tls_private_key_file, flags.client_ca_file)
        return
    from sampan.pki.authority import CertificateAuthority, server

    host = socket.gethostname()
    pair = CertificateAuthority.create(f"{host}-ca").issue(server(host, [host, "localhost"], ["127.0.0.1"]))
    with _in_memory(pair.certificate_pem) as certificate, _in_memory(pair.key_pem) as key:
        yield ServingFiles(certificate, key, flags.client_ca_file)


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A file that has no name but this one, which only this process can use."""
    descriptor = os.memfd_create("serving-certificate")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


async def _until_signalled(
    flags: argparse.Namespace, configuration: Configuration, credentials: Credentials, files: ServingFiles
) -> None:
    task = asyncio.ensure_future(_serve(flags, configuration, credentials, files))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


async def _serve(
    flags: argparse.Namespace, configuration: Configuration, credentials: Credentials, files: ServingFiles
) -> None:
    transport = HTTPTransport.from_credentials(credentials, user_agent="sampan/kube-scheduler")
    client = Client(transport, field_manager="kube-scheduler")
    identity = f"{socket.gethostname()}_{effects.uid()}"
    scheduler = KubeScheduler(client, configuration, identity, when_synced=settle)
    log.info(
        "scheduling for %s at %s", ", ".join(p.scheduler_name for p in configuration.profiles), credentials.server
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(scheduler.run(), name="scheduler")
            if flags.secure_port:
                server = ComponentServer(client, Shown(
                    {}, (scheduler,), scheduler.readiness(), {ATTEMPTS: scheduler.last_attempt},
                    name="kube-scheduler", flags=_given(flags),
                ))
                files = await _with_client_ca(client, files)
                group.create_task(server.run(flags.bind_address, flags.secure_port, files), name="health and metrics")
    finally:
        await client.close()


def _given(flags: argparse.Namespace) -> dict[str, str]:
    """What was said on the command line, under the flags' own names."""
    return {name.replace("_", "-"): str(value) for name, value in vars(flags).items() if value is not None}


async def _with_client_ca(client: Client, files: ServingFiles) -> ServingFiles:
    """As upstream: without a CA given, the cluster's, if it is published and may be read."""
    if files.client_ca:
        return files
    try:
        found = await client.get(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system")
    except errors.APIError as error:
        log.info("only bearer tokens are accepted for /metrics: the cluster's client CA cannot be read: %s", error)
        return files
    authority = (found.get("data") or {}).get("client-ca-file") or ""
    return dataclasses.replace(files, client_ca_data=authority)

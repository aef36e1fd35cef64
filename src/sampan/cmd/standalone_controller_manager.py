"""`sampan controller-manager`: the controllers alone, against any API server, with kube-controller-manager's flags.

It finds the server by `--kubeconfig`, or by the files that every pod has. On `--secure-port` it serves health, metrics
and what it was told, over HTTPS, with a certificate of its own making unless one is given. When it loses its Lease it
ends with exit code 1, so that whoever runs it starts it again.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
from collections.abc import Sequence

from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.kubeconfig import Credentials
from sampan.client.transport import HTTPTransport
from sampan.cmd import standalone
from sampan.cmd.component_server import CONTROLLER_MANAGER_PORT, ComponentServer, ServingFiles, Shown
from sampan.cmd.controlling import type_warnings
from sampan.controllers import flags as settings
from sampan.controllers.component_config import configz
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.manager import COMPONENT, ControllerManager
from sampan.controllers.table import CONTROLLERS

log = logging.getLogger("sampan.controllers")

HELP = "Run the controllers alone, against any API server."


def main(arguments: Sequence[str]) -> None:
    """Run until a signal ends it. What a person can mend is one line on standard error and exit code 1."""
    flags = _parser().parse_args(settings.normalised(arguments))
    standalone.log_to_stderr(flags.v)
    try:
        config = settings.configured(flags, _base())
        credentials = kubeconfig.load(flags.kubeconfig) if flags.kubeconfig else kubeconfig.in_cluster()
        with standalone.serving_files(flags) as files:
            standalone.run(lambda: _serve(flags, config, credentials, files))
    except (ValueError, OSError) as error:
        raise SystemExit(f"sampan controller-manager: {error}") from None
    except BaseExceptionGroup as group:
        raise SystemExit(f"sampan controller-manager: {standalone.reason(group)}") from None


def _base() -> ControllerManagerConfig:
    """Upstream's defaults: those of a cluster about which nothing is known."""
    return ControllerManagerConfig(
        controllers="*", leader_elect=True, identity=standalone.identity(), allocate_node_cidrs=False, cluster_cidr="",
        check_policy=type_warnings,
    )


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(sorted(loop.name for loop in CONTROLLERS))
    off = ", ".join(sorted(loop.name for loop in CONTROLLERS if not loop.by_default))
    parser = argparse.ArgumentParser(
        prog="sampan controller-manager", usage="sampan controller-manager [flags]", description=HELP,
        allow_abbrev=False, epilog=f"All controllers: {known}. Disabled by default: {off}.",
    )
    standalone.add_flags(parser, CONTROLLER_MANAGER_PORT)
    parser.add_argument(
        "--use-service-account-credentials", type=settings.truth, nargs="?", const=True, metavar="true|false",
        help="each controller acts as its own ServiceAccount, which the caller must be allowed to impersonate",
    )
    settings.add_to(parser, defaults=_base())
    return parser


async def _serve(
    flags: argparse.Namespace, config: ControllerManagerConfig, credentials: Credentials, files: ServingFiles
) -> None:
    def client_for(account: str) -> Client:
        user = f"system:serviceaccount:kube-system:{account}"
        acting = dataclasses.replace(credentials, headers={**credentials.headers, "impersonate-user": user})
        transport = HTTPTransport.from_credentials(acting, user_agent=f"sampan/{COMPONENT}/{account}")
        return Client(transport, field_manager=account)

    transport = HTTPTransport.from_credentials(credentials, user_agent=f"sampan/{COMPONENT}")
    client = Client(transport, field_manager=COMPONENT)
    if flags.use_service_account_credentials:
        config = dataclasses.replace(config, client_for=client_for)
    manager = ControllerManager(client, config)
    log.info("controllers %s at %s", config.controllers, credentials.server)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(), name="controllers")
            if flags.secure_port:
                server = ComponentServer(client, Shown(
                    {"controllers": manager.problem}, (manager,), name=COMPONENT, flags=settings.shown(config),
                    config=configz(config),
                ))
                files = await standalone.with_client_ca(client, files)
                group.create_task(server.run(flags.bind_address, flags.secure_port, files), name="health and metrics")
    finally:
        await client.close()

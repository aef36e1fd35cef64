"""What components share that run alone against any API server: their flags, their certificate, how they end.

Such a component is a process in the foreground. It logs to standard error, ends with 0 when a signal asks for it, and
with 1 and one line when something is wrong that a person can mend.
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
from collections.abc import Awaitable, Callable, Iterator

from sampan import effects
from sampan.api.resources import CONFIG_MAPS
from sampan.apimachinery import errors
from sampan.apimachinery.duration import parse_go_duration
from sampan.client.client import Client
from sampan.client.leader_election import LeadershipLost
from sampan.cmd.component_server import ServingFiles

log = logging.getLogger("sampan.standalone")


def add_flags(parser: argparse.ArgumentParser, port: int) -> None:
    """How to reach the API server, and what is served where; the port is the component's own."""
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", help="how to reach the API server")
    add("--bind-address", default="0.0.0.0", metavar="IP", help="where health and metrics are served")
    add("--secure-port", type=int, default=port, metavar="PORT", help="0 serves nothing")
    add("--tls-cert-file", default="", metavar="FILE")
    add("--tls-private-key-file", default="", metavar="FILE")
    add("--client-ca-file", default="", metavar="FILE", help="whose client certificates are believed")
    add("-v", "--v", type=int, default=2, metavar="LEVEL", help="0 logs what is wrong, 4 every request")


def truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def seconds(text: str) -> float:
    try:
        return parse_go_duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def log_to_stderr(verbosity: int) -> None:
    level = logging.DEBUG if verbosity >= 4 else logging.INFO if verbosity else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s %(message)s")


def identity() -> str:
    """Of this life of the process, for its Lease: two on one host are two."""
    return f"{socket.gethostname()}_{effects.uid()}"


def given(flags: argparse.Namespace) -> dict[str, str]:
    """What was said on the command line, under the flags' own names."""
    return {name.replace("_", "-"): str(value) for name, value in vars(flags).items() if value is not None}


def reason(group: BaseExceptionGroup[BaseException]) -> str:
    """What a person needs to know of how a part ended; anything unforeseen keeps its traceback."""
    first = group.exceptions[0]
    if isinstance(first, LeadershipLost):
        return f"the Lease {first} was lost"
    if isinstance(first, OSError):
        return str(first)
    raise group


def run(serve: Callable[[], Awaitable[None]]) -> None:
    """Until it ends, or a signal ends it."""
    import uvloop

    async def until_signalled() -> None:
        task = asyncio.ensure_future(serve())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await task

    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(until_signalled())


@contextlib.contextmanager
def serving_files(flags: argparse.Namespace) -> Iterator[ServingFiles]:
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


async def with_client_ca(client: Client, files: ServingFiles) -> ServingFiles:
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

"""The API server as a part of a process: store, keys, sockets, and what must run beside it.

`Serving` opens the store and answers on the supervisor's sockets; other parts of its process get their clients from it.
Beside it run the renewal of the cluster's certificates (a static pod leaves that to the node, since it may not write
keys) and what every cluster of sampan holds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sampan.apimachinery.http import UserInfo
from sampan.apiserver import listener
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.cmd import cluster_objects, etcd, topology
from sampan.cmd.certificates import certificates
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.process import Part, inherited_sockets, take_sockets
from sampan.pki import encryption
from sampan.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from sampan.storage.etcd.store import EtcdStore

log = logging.getLogger("sampan.api")


def config(cluster: ClusterLayout) -> APIServerConfig:
    """How the cluster's API server is set up."""
    pki = cluster.pki_dir
    return APIServerConfig(
        hostname=cluster.first_node.name, shares_store=cluster.store == "etcd",
        advertise_address=cluster.first_node.address, advertise_port=cluster.node_port,
        service_cidr=cluster.service_range, cluster_domain=cluster.domain, client_ca_file=str(pki / "ca.crt"),
        requestheader_client_ca_file=str(pki / "front-proxy-ca.crt"),
        service_account_key_files=(str(pki / "sa.pub"),), service_account_signing_key_file=str(pki / "sa.key"),
        kubelet_client_cert_file=str(pki / "apiserver-kubelet-client.crt"),
        kubelet_client_key_file=str(pki / "apiserver-kubelet-client.key"), kubelet_ca_file=str(pki / "ca.crt"),
        proxy_client_cert_file=str(pki / "front-proxy-client.crt"),
        proxy_client_key_file=str(pki / "front-proxy-client.key"),
        audit_log_path=str(cluster.log_dir / "audit.log"),
        encryption_config_file=str(encryption.ensure(pki)),
    )


class Serving:
    """The API server of this process; `started` is set once it answers."""

    def __init__(self, cluster: ClusterLayout) -> None:
        self.cluster = cluster
        self.started = asyncio.Event()
        self._server: APIServer | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """The server itself and what belongs to it."""
        beside: dict[str, Part] = {"apiserver": self._serve, "cluster-objects": self._keep_objects}
        return beside if self._is_pod else {**beside, "certificates": certificates(self.cluster)}

    @property
    def _is_pod(self) -> bool:
        return self.cluster.processes == "static-pods"

    async def client(self, user: UserInfo, field_manager: str) -> Client:
        """A client of the server in this process, once it has started."""
        await self.started.wait()
        return self.client_now(user, field_manager)

    def client_now(self, user: UserInfo, field_manager: str) -> Client:
        """As `client`, when it is known to have started."""
        assert self._server is not None, "it has started"
        return Client(self._server.transport(user), field_manager=field_manager)

    async def _serve(self) -> None:
        cluster = self.cluster
        if self._is_pod:
            take_sockets(cluster.handover_socket, "apiserver", topology.LOCAL_LISTENER, topology.NODE_LISTENER)
        store = await _opened(cluster)
        server = APIServer(store, config(cluster))
        try:
            await server.start()
            self._server = server
            listeners = await listener.serve(server, inherited_sockets(), tls(cluster))
            self.started.set()
            log.info("serving the API at %s and %s", cluster.host_url, cluster.node_url)
            try:
                log.critical("%s: starting again", await store.failed())
            finally:
                await listeners.close()
        finally:
            self.started.clear()
            await server.stop()
            await store.close()
        raise SystemExit(1)  # other parts of the process hold clients of this server: all start again

    async def _keep_objects(self) -> None:
        await cluster_objects.ensure(await self.client(ITSELF, "sampan"), self.cluster)


async def _opened(cluster: ClusterLayout) -> SqliteStore | EtcdStore:
    if cluster.store == "etcd":
        from sampan.storage.etcd.store import EtcdStore  # with gRPC: only where it is used

        return await EtcdStore.open(etcd.config(cluster))
    return await SqliteStore.open(cluster.store_file)


def tls(cluster: ClusterLayout) -> TLSFiles:
    pki = cluster.pki_dir
    files = ("apiserver.crt", "apiserver.key", "ca.crt", "front-proxy-ca.crt")
    return TLSFiles(*(str(pki / file) for file in files))

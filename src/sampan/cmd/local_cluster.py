"""Clusters on this machine: up, down, status, images; what `sampan.cli.operations` asks for.

`up` may be called at any time. It makes what is missing (directories, keys, network namespaces, configuration, the
supervisor) and leaves alone what is there, so it creates a cluster, mends one, and brings one back after a reboot.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sampan import effects
from sampan.apimachinery.errors import APIError
from sampan.cli.operations import (
    ClusterStatus,
    Finding,
    OperationError,
    PlacementReport,
    ProcessStatus,
    Progress,
    Question,
    UpOptions,
)
from sampan.cmd import (
    cluster_objects,
    control_plane_pods,
    credentials,
    doctor,
    etcd,
    layout,
    readiness,
    supervisor,
    topology,
)
from sampan.cmd.layout import ClusterLayout, NodeLayout
from sampan.cmd.process import ask_health
from sampan.controllers.names import WITH_BOOTSTRAP
from sampan.machines.layout import CLUSTER_VARIABLE

_FIRST_PORT, _LAST_PORT = 6443, 6543
_POLL_S = 0.05
_MAX_STARTS = 5
_MANNERS = {
    "combined": "with combined processes", "separate": "with separate processes",
    "static-pods": "its control plane as static pods",
}


class LocalClusters:
    """The clusters whose state is on this machine."""

    async def up(self, options: UpOptions, progress: Progress) -> ClusterStatus:
        """Create the cluster or bring it back; returns when it is ready or after `wait_s`. Raises OperationError."""
        self._check_machine()
        before = _load(options.name)
        cluster = before or _new(options)
        _check_etcd(cluster)
        _check_unchanged(cluster, options)
        cluster = dataclasses.replace(cluster, node_count=options.nodes or cluster.node_count)
        _check_port(cluster)
        progress("making keys, certificates and the node's network")
        await asyncio.to_thread(_prepare, cluster)
        if before is not None and before != cluster:
            await _release_processes(cluster)
        _ensure_supervisor(cluster)
        if cluster.processes == "static-pods":
            await self._place_control_plane(cluster, progress)
        await self._wait(cluster, options.wait_s, progress)
        if before is not None and before != cluster:
            progress("bringing the images to the new nodes")
            await self._furnish(cluster, cluster.nodes[before.node_count:])
        status = await self.status(cluster.name)
        assert status is not None, "its state was just written"
        if options.wait_s and not status.ready:
            raise OperationError(
                f"{cluster.name} is not ready after {options.wait_s:g} s: waiting for {', '.join(status.waiting_for)}",
                f"what the processes say is in {cluster.log_dir}",
            )
        return status

    async def down(self, name: str, progress: Progress) -> list[str]:
        """Remove every trace; what was there."""
        from sampan.machines.sweep import StillThere, sweep
        from sampan.pki import kubeconfig

        cluster = _load(name) or ClusterLayout(name, _FIRST_PORT)
        _check_root()
        progress("ending processes and containers, removing networks and files")
        _stop_supervisor(cluster)
        try:
            found = await sweep(name, cluster.machines)
        except StillThere as error:
            raise OperationError(f"some of {name} resists:\n{error}", "try again") from None
        if kubeconfig.default_path().exists():
            try:
                kubeconfig.remove(kubeconfig.default_path(), layout.context_name(name))
            except kubeconfig.KubeconfigError as error:
                raise OperationError(f"{name} is gone, but may still be in a kubeconfig: {error}") from None
        return [line for line in str(found).splitlines() if line]

    async def status(self, name: str) -> ClusterStatus | None:
        """What runs now, or None when there is no such cluster."""
        cluster = _load(name)
        if cluster is None:
            return None
        client = credentials.client(cluster, "admin", server=cluster.host_url)
        try:
            conditions = readiness.conditions(cluster, client)
            answers = await asyncio.gather(*(readiness.holds(condition) for condition in conditions))
        finally:
            await client.close()
        waiting = tuple(c.name for c, answer in zip(conditions, answers, strict=True) if not answer)
        processes = await asyncio.gather(*(_process_status(cluster, process) for process in _process_names(cluster)))
        return ClusterStatus(
            cluster.name, cluster.host_url, str(cluster.kubeconfig), not waiting, waiting, tuple(processes)
        )

    def names(self) -> Sequence[str]:
        return [cluster.name for cluster in layout.existing()]

    def kubeconfig(self, name: str) -> Path:
        """The cluster's kubeconfig. Raises OperationError when there is no such cluster."""
        return self._existing(name).kubeconfig

    def merge_kubeconfig(self, name: str, into: Path | None) -> Path:
        """Merge into kubectl's own file, or into the one given; which it was."""
        from sampan.pki import kubeconfig

        target = into or kubeconfig.default_path()
        try:
            kubeconfig.merge(target, kubeconfig.read(self.kubeconfig(name)))
        except kubeconfig.KubeconfigError as error:
            raise OperationError(str(error)) from None
        return target

    async def load_images(self, name: str, archives: Sequence[Path]) -> list[str]:
        """Import archives into every node's store; the names they brought."""
        return await self._import(name, [path.resolve() for path in archives])

    async def build_image(self, name: str, recipe: Path) -> list[str]:
        """Build from a recipe and import the result into every node's store."""
        from sampan.cri.recipe import RecipeError, build_recipe

        try:
            archive = await asyncio.to_thread(build_recipe, recipe)
        except RecipeError as error:
            raise OperationError(str(error)) from None
        return await self._import(name, [archive])

    async def images(self, name: str) -> list[dict[str, str]]:
        """The images of the first node's store, by name."""
        from sampan.cri import images

        try:
            stored = await images.listed(self._existing(name).first_node.containerd_socket)
        except images.ImageError as error:
            raise OperationError(str(error)) from None
        return [{"name": i.name, "size": i.size, "digest": i.digest} for i in sorted(stored, key=lambda i: i.name)]

    async def remove_image(self, name: str, reference: str) -> None:
        """Remove it from every node's store."""
        from sampan.cri import images

        for node in self._existing(name).nodes:
            try:
                await images.remove(node.containerd_socket, reference)
            except images.ImageError as error:
                raise OperationError(str(error), "list them: sampan image ls") from None

    async def why(self, question: Question) -> PlacementReport:
        """Why a pod is not placed, in the cluster of that name or that the kubeconfig reaches."""
        from sampan.client import kubeconfig
        from sampan.client.client import Client
        from sampan.client.transport import HTTPTransport
        from sampan.cmd.last_attempt import SchedulerPort
        from sampan.cmd.why import why

        path = question.kubeconfig or self.kubeconfig(question.cluster)
        if not path.exists():
            raise OperationError(f"{path}: no such file")
        port: SchedulerPort | None = None
        if question.scheduler:
            port = SchedulerPort.of_url(question.scheduler, question.scheduler_ca)
        elif question.kubeconfig is None:
            port = SchedulerPort.of_cluster(self._existing(question.cluster))
        credentials = kubeconfig.load(path)
        client = Client(HTTPTransport.from_credentials(credentials))
        try:
            return await why(client, question.namespace, question.pod, port, credentials)
        except APIError as error:
            raise OperationError(f"the cluster does not answer: {error}") from None
        finally:
            await client.close()

    def doctor(self) -> list[Finding]:
        return doctor.findings()

    async def _import(self, name: str, archives: Sequence[Path | bytes]) -> list[str]:
        from sampan.cri import images

        loaded: list[str] = []
        for node in self._existing(name).nodes:
            for archive in archives:
                try:
                    loaded += await images.load(node.containerd_socket, archive)
                except images.ImageError as error:
                    raise OperationError(str(error)) from None
        return list(dict.fromkeys(loaded))

    async def _place_control_plane(self, cluster: ClusterLayout, progress: Progress) -> None:
        """Images and manifests for the first node's kubelet; what it has already is left alone."""
        from sampan.cri import containerd, images
        from sampan.cri.recipe import RecipeError, build_document

        progress("starting the container runtime")
        socket_path = cluster.first_node.containerd_socket
        while not containerd.answers(topology.containerd_config(cluster.first_node)):  # noqa: ASYNC110 - the supervisor starts it again if it ends
            await asyncio.sleep(_POLL_S)
        needed = await asyncio.to_thread(control_plane_pods.Images.of, cluster)
        try:
            held = {image.name for image in await images.listed(socket_path)}
            for name, recipe in needed.recipes().items():
                if name not in held:
                    progress(f"building {name.rpartition('/')[2]}")
                    archive = await asyncio.to_thread(build_document, recipe, cluster.state_dir)
                    await images.load(socket_path, archive)
        except (images.ImageError, RecipeError) as error:
            raise OperationError(f"the control plane has no images: {error}") from None
        control_plane_pods.write(cluster, needed)

    async def _furnish(self, cluster: ClusterLayout, added: Sequence[NodeLayout]) -> None:
        """Give nodes that joined what the first ones have from the start: images, and a part in cluster DNS."""
        from sampan.cri import images

        client = credentials.client(cluster, "admin", server=cluster.host_url)
        try:
            await cluster_objects.ensure_dns(client, cluster)
            for node in added:
                await images.copy(cluster.first_node.containerd_socket, node.containerd_socket)
        except images.ImageError as error:
            raise OperationError(f"the images did not reach the new nodes: {error}", "load them again") from None
        except APIError as error:
            raise OperationError(f"cluster DNS does not know the new nodes: {error.message}", "run it again") from None
        finally:
            await client.close()

    async def _wait(self, cluster: ClusterLayout, wait_s: float, progress: Progress) -> None:
        deadline, starts = effects.monotonic() + wait_s, 0
        client = credentials.client(cluster, "admin", server=cluster.host_url)
        try:
            for condition in readiness.conditions(cluster, client):
                while effects.monotonic() < deadline and not await readiness.holds(condition):
                    progress(condition.doing)
                    await asyncio.sleep(_POLL_S)
                    starts += _ensure_supervisor(cluster)
                    if starts > _MAX_STARTS:
                        raise OperationError(
                            f"the supervisor of {cluster.name} does not stay up",
                            f"it says why in {cluster.log_dir / 'supervisor.log'}",
                        )
        finally:
            await client.close()

    def _check_machine(self) -> None:
        lacking = [finding for finding in doctor.findings() if not finding.fine and finding.what != "kubectl"]
        if lacking:
            names = ", ".join(finding.what for finding in lacking)
            raise OperationError(f"this machine lacks {names}", "see how to mend it: sampan doctor")

    def _existing(self, name: str) -> ClusterLayout:
        cluster = _load(name)
        if cluster is None:
            raise OperationError(f"there is no cluster {name}", f"create it: sampan up --name {name}")
        return cluster


def _load(name: str) -> ClusterLayout | None:
    try:
        return layout.load(name)
    except layout.InvalidClusterName as error:
        raise OperationError(str(error)) from None


def _check_root() -> None:
    if os.geteuid() != 0:
        raise OperationError("only root can do this: nodes are network namespaces", "sudo sampan …")


def _check_unchanged(cluster: ClusterLayout, options: UpOptions) -> None:
    """A cluster keeps the shape that it was made with, but it may grow."""
    again = f"remove it first: sampan down --name {cluster.name}"
    if options.processes is not None and options.processes != cluster.processes:
        raise OperationError(f"{cluster.name} runs {_MANNERS[cluster.processes]}", again)
    if options.store is not None and options.store != cluster.store:
        raise OperationError(f"{cluster.name} keeps its state in {cluster.store}", again)
    if options.controllers is not None and options.controllers != cluster.controllers:
        raise OperationError(f"{cluster.name} runs the controllers {cluster.controllers}", again)
    given = options.controller_manager_args
    if given is not None and _flags(given) != cluster.controller_manager_args:
        was = " ".join(cluster.controller_manager_args) or "no other flags"
        raise OperationError(f"{cluster.name} has a controller manager with {was}", again)
    if options.nodes is not None and options.nodes < cluster.node_count:
        raise OperationError(f"{cluster.name} has {cluster.node_count} nodes, and nodes are not taken away", again)


def _check_etcd(cluster: ClusterLayout) -> None:
    if cluster.store == "etcd" and cluster.processes != "static-pods" and not etcd.installed():
        raise OperationError("this machine lacks etcd", etcd.INSTALL)


def _check_port(cluster: ClusterLayout) -> None:
    """A cluster that comes back needs its old port: that is where people's kubeconfigs look for it."""
    if supervisor.running_pid(cluster, "supervisor"):
        return
    held = supervisor.inherited_listeners(cluster)
    for listener in held.values():
        listener.close()
    if topology.LOCAL_LISTENER not in held and not _is_free(cluster.api_port):
        raise OperationError(
            f"127.0.0.1:{cluster.api_port}, where {cluster.name} was reached, is taken by another program",
            f"end that program (ss -ltnp 'sport = {cluster.api_port}' shows it) and try again",
        )


def _new(options: UpOptions) -> ClusterLayout:
    taken = {cluster.api_port for cluster in layout.existing()}
    free = (port for port in range(_FIRST_PORT, _LAST_PORT) if port not in taken and _is_free(port))
    port = next(free, 0)
    if not port:
        raise OperationError(f"no port of 127.0.0.1 between {_FIRST_PORT} and {_LAST_PORT - 1} is free")
    processes = _processes(options.processes)
    kept_in = options.store or ("etcd" if processes == "static-pods" else "sqlite")
    store: layout.StoreKind = "etcd" if kept_in == "etcd" else "sqlite"
    controllers = WITH_BOOTSTRAP if options.controllers is None else _checked_controllers(options.controllers)
    return ClusterLayout(
        layout.checked_name(options.name), port, options.nodes or 1, processes, store=store, controllers=controllers,
        controller_manager_args=_checked_flags(options.controller_manager_args or ()),
    )


def _processes(word: str | None) -> layout.ProcessMode:
    return "separate" if word == "separate" else "static-pods" if word == "static-pods" else "combined"


def _flags(words: Sequence[str]) -> tuple[str, ...]:
    """With or without the dashes before them."""
    return tuple(f"--{word.lstrip('-')}" for word in words)


def _checked_flags(words: Sequence[str]) -> tuple[str, ...]:
    from sampan.controllers import flags
    from sampan.controllers.config import ControllerManagerConfig

    try:
        flags.parsed(_flags(words), ControllerManagerConfig(), layout.GIVEN_FLAGS)
    except ValueError as error:
        raise OperationError(f"--controller-manager-arg: {error}", "sampan controller-manager --help") from None
    return _flags(words)


def _checked_controllers(text: str) -> str:
    from sampan.controllers.config import ControllerManagerConfig
    from sampan.controllers.table import CONTROLLERS, selected

    try:
        selected(ControllerManagerConfig(text))
    except ValueError as error:
        raise OperationError(str(error), f"known are {', '.join(loop.name for loop in CONTROLLERS)}") from None
    return text


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _prepare(cluster: ClusterLayout) -> None:
    """Everything that must be there before the first process starts."""
    from sampan.cri import containerd
    from sampan.machines.node import NodeMachine

    cluster.save()
    # Only the kubeconfig, which has an owner, is for others to find; everything else may hold secrets.
    stores = (cluster.store_file.parent, cluster.etcd_dir)
    for private in (*stores, cluster.log_dir, cluster.state_dir / "nodes", cluster.run_dir):
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)
    pki = credentials.ensure(cluster)
    credentials.write_admin_kubeconfig(cluster, pki, asked=True)
    for node in cluster.nodes:
        NodeMachine(cluster.name, node.name, node.index, cluster.machines).ensure()
        node.manifest_dir.mkdir(parents=True, exist_ok=True)
        containerd.prepare(topology.containerd_config(node))


def _ensure_supervisor(cluster: ClusterLayout) -> bool:
    """Start it unless it runs; whether it had to. Its pid is on record before this returns: it is started once."""
    if supervisor.running_pid(cluster, "supervisor"):
        return False
    with (cluster.log_dir / "supervisor.log").open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "sampan.cmd.supervisor", "--cluster", cluster.name],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True,
            env={**os.environ, CLUSTER_VARIABLE: cluster.name},
        )
    supervisor.record(cluster, "supervisor", started.pid)
    return True


async def _release_processes(cluster: ClusterLayout) -> None:
    """End the supervisor alone. The next one adopts what runs, and starts what the layout has beyond that."""
    _stop_supervisor(cluster)
    while supervisor.running_pid(cluster, "supervisor"):  # noqa: ASYNC110 - SIGKILL takes a moment, no more
        await asyncio.sleep(_POLL_S)


def _stop_supervisor(cluster: ClusterLayout) -> None:
    """At once, so that it does not start again what is about to be ended."""
    pid = supervisor.running_pid(cluster, "supervisor")
    if pid:
        os.kill(pid, 9)


def _process_names(cluster: ClusterLayout) -> list[str]:
    pods = control_plane_pods.PROCESSES if cluster.processes == "static-pods" else ()
    return ["supervisor", *(spec.name for spec in topology.processes(cluster)), *pods]


async def _process_status(cluster: ClusterLayout, name: str) -> ProcessStatus:
    """A supervised process is on record; one in a static pod answers for itself."""
    health = await ask_health(cluster.health_socket(name)) or {}
    pid = supervisor.running_pid(cluster, name) or health.get("pid", 0)
    return ProcessStatus(name, pid, health.get("parts", {}))

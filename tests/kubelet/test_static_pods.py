"""Static pods and their mirrors."""

from __future__ import annotations

from pathlib import Path

from tests.kubelet.world import World, simulate

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: control, namespace: kube-system, labels: {tier: cp}}
spec:
  containers: [{name: main, image: "app:1", args: ["VERSION"]}]
"""


def test_a_manifest_runs_and_is_mirrored_and_ends_with_its_file(tmp_path: Path) -> None:
    directory = tmp_path / "manifests"
    directory.mkdir()

    async def story() -> None:
        async with World(tmp_path / "node", static_pod_dir=directory) as world:
            (directory / "control.yaml").write_text(MANIFEST)

            def mirror() -> dict[str, object]:
                return world.api.get("pods", "control-n1", "kube-system") or {}

            def ready() -> bool:
                conditions = (mirror().get("status") or {}).get("conditions") or []
                return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

            await world.until(ready, 20)
            annotations = mirror()["metadata"]["annotations"]
            assert annotations["kubernetes.io/config.source"] == "file"
            assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
            assert mirror()["metadata"]["ownerReferences"][0]["kind"] == "Node"
            old_uid = mirror()["metadata"]["uid"]
            starts = len(world.runtime.calls)

            world.api.remove("pods", "control-n1", "kube-system", grace_s=0)
            await world.until(lambda: mirror() and mirror()["metadata"]["uid"] != old_uid, 20)
            assert len(world.runtime.calls) == starts

            (directory / "control.yaml").write_text(MANIFEST.replace("VERSION", "2"))
            await world.until(lambda: mirror() and mirror()["spec"]["containers"][0]["args"] == ["2"] and ready(), 90)
            (directory / "control.yaml").unlink()
            await world.until(lambda: not world.runtime.runs and not world.api.objects["pods"], 90)

    simulate(story)


def test_a_static_pod_runs_without_the_api_and_has_a_mirror_of_its_node_once_that_is_registered(tmp_path: Path) -> None:
    directory = tmp_path / "manifests"
    directory.mkdir()
    (directory / "control.yaml").write_text(MANIFEST)
    (directory / "notes.txt").write_text("no pod")
    (directory / "broken.yaml").write_text("a: [")

    async def story() -> None:
        world = World(tmp_path / "node", static_pod_dir=directory)
        world.api.away = True
        import asyncio

        task = asyncio.create_task(world.kubelet.run())
        await world.until(lambda: "start main#0" in world.runtime.calls, 20)
        assert not world.api.get("pods", "control-n1", "kube-system")
        world.api.away = False
        await world.until(lambda: bool(world.api.get("pods", "control-n1", "kube-system")), 30)
        node = world.api.get("nodes", "n1", "")
        owner = world.api.get("pods", "control-n1", "kube-system")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"]) == ("Node", node["metadata"]["uid"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulate(story)

from __future__ import annotations

from sampan.api.resources import CSI_DRIVERS, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from sampan.api.resources import VOLUME_ATTACHMENTS as ATTACHMENTS
from sampan.apimachinery.object import Object, dig, name_of
from sampan.controllers.volumes.attach_detach import Observed, plan
from sampan.controllers.volumes.attachments import attachment_name, unique_name
from sampan.reconcile.plan import Create, Delete, Patch
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def volume(*modes: str, name: str = "pv") -> Object:
    spec = {
        "csi": {"driver": "disk.example.com", "volumeHandle": "h1"}, "accessModes": list(modes) or ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def attachment(node: str, *, attached: bool = True, error: str = "") -> Object:
    name = attachment_name(volume(), node)
    status: Object = {"attached": attached, **({"attachError": {"message": error}} if error else {})}
    spec = {"attacher": "disk.example.com", "nodeName": node, "source": {"persistentVolumeName": "pv"}}
    return {"metadata": {"name": name, "uid": f"uid-{node}"}, "spec": spec, "status": status}


def observed(make, *attachments: Object, used: bool = True, node: Object | None = None, **more) -> Observed:
    users = [(volume(), make.pod("db"))] if used else []
    return Observed(node or make.node(), users, attachments, volumes={"pv": volume()}, **more)


def test_a_used_volume_is_attached_under_a_name_that_follows_from_volume_and_node(make) -> None:
    [create] = plan(observed(make)).steps
    assert isinstance(create, Create)
    assert create.obj["spec"] == {
        "attacher": "disk.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv"},
    }
    # sha256("h1" "disk.example.com" "n1"), as the driver's own helpers compute it
    assert name_of(create.obj) == (
        "csi-0f30d008e2c35a9079ad5b387acb76fc4f32c1715f29f3d316190f5a1976198c"
    )


def test_what_is_attached_is_told_to_the_kubelet_and_the_pod(make) -> None:
    decided = plan(observed(make, attachment("n1")))
    [patch] = decided.steps
    assert isinstance(patch, Patch)
    assert patch.patch["status"]["volumesAttached"] == [{"name": unique_name(volume()), "devicePath": ""}]
    assert [note.reason for note in decided.notes] == ["SuccessfulAttachVolume"]
    node = make.node()
    node["status"]["volumesAttached"] = patch.patch["status"]["volumesAttached"]
    settled = plan(observed(make, attachment("n1"), node=node))
    assert not settled.steps and not settled.notes


def test_a_volume_is_taken_from_the_kubelet_before_it_is_detached(make) -> None:
    node = make.node()
    node["status"]["volumesAttached"] = [{"name": unique_name(volume()), "devicePath": ""}]
    patch, delete = plan(observed(make, attachment("n1"), used=False, node=node)).steps
    assert isinstance(patch, Patch) and patch.patch["status"]["volumesAttached"] is None
    assert isinstance(delete, Delete)


def test_every_pod_that_waits_for_a_volume_is_told_and_it_is_attached_once(make) -> None:
    both = [(volume(), make.pod("a")), (volume(), make.pod("b"))]
    assert len(plan(Observed(make.node(), both, [])).steps) == 1
    found = plan(Observed(make.node(), both, [attachment("n1")], volumes={"pv": volume()}))
    assert [(note.reason, name_of(note.about)) for note in found.notes] == [
        ("SuccessfulAttachVolume", "a"), ("SuccessfulAttachVolume", "b"),
    ]


def test_the_drivers_failure_is_told(make) -> None:
    [note] = plan(observed(make, attachment("n1", attached=False, error="no such disk"))).notes
    assert note.reason == "FailedAttachVolume" and note.message.endswith("no such disk")


def test_a_volume_for_one_node_waits_until_the_other_lets_go(make) -> None:
    decided = plan(observed(make, attachment("n2")))
    assert not decided.steps and decided.requeue_after_s
    error = 'Multi-Attach error for volume "pv" '
    assert [(note.type, note.reason, note.message) for note in decided.notes] == [
        ("Warning", "FailedAttachVolume",
         f"{error}Volume is already exclusively attached to one node and can't be attached to another"),
    ]
    both = [(volume(), make.pod("a")), (volume(), make.pod("b"))]
    rivals = {"pv": [make.pod("x"), make.pod("y")]}
    told = plan(Observed(make.node(), both, [attachment("n2")], rivals=rivals)).notes
    assert [(name_of(note.about), note.message) for note in told] == [
        (name, f"{error}Volume is already used by pod(s) x, y") for name in ("a", "b")
    ]
    shared = Observed(make.node(), [(volume("ReadWriteMany"), make.pod("db"))], [attachment("n2")])
    assert isinstance(plan(shared).steps[0], Create)


def test_an_unused_volume_is_detached_once_it_is_unmounted(make) -> None:
    node = make.node()
    [delete] = plan(observed(make, attachment("n1", attached=False), used=False, node=node)).steps
    assert isinstance(delete, Delete) and delete.uid == "uid-n1"
    node["status"]["volumesInUse"] = [unique_name(volume())]
    waiting = plan(observed(make, attachment("n1", attached=False), used=False, node=node))
    assert not waiting.steps and waiting.requeue_after_s


def test_attachments_that_others_made_are_left_alone(make) -> None:
    by_hand, unknown = attachment("n1"), attachment("n1")
    by_hand["metadata"]["name"] = "by-hand"
    unknown["spec"]["source"]["persistentVolumeName"] = "never-made"
    for foreign in (by_hand, unknown):
        assert not plan(observed(make, foreign, used=False)).steps


def test_a_silent_nodes_volume_is_taken_away_after_six_minutes_or_when_it_is_out_of_service(make) -> None:
    node = make.node(ready="Unknown")
    node["status"]["volumesInUse"] = [unique_name(volume())]
    name = attachment_name(volume(), "n1")

    def steps(unused_s: float) -> int:
        lost = observed(make, attachment("n1", attached=False), used=False, node=node, unused_s={name: unused_s})
        return len(plan(lost).steps)

    assert (steps(360.0), steps(360.1)) == (0, 1)
    node["spec"]["taints"] = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]
    assert steps(0.0) == 1


def test_a_pod_comes_and_goes_and_its_volume_with_it() -> None:
    async def scenario() -> None:
        async with SimCluster(seed=2, nodes=1) as cluster:
            client = cluster.client
            async def registered() -> bool:
                return bool((await client.list(NODES))["items"])

            await cluster.until(registered, within_s=60)
            [node] = (await client.list(NODES))["items"]
            for required, driver in ((True, "disk.example.com"), (False, "file.example.com")):
                await client.create(CSI_DRIVERS, {
                    "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": driver},
                    "spec": {"attachRequired": required},
                })
                name = driver.partition(".")[0]
                made = volume(name=name)
                made["spec"]["csi"] = {"driver": driver, "volumeHandle": name}
                await client.create(PERSISTENT_VOLUMES, made)
                await client.create(PERSISTENT_VOLUME_CLAIMS, {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name, "namespace": "default"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                             "volumeName": name, "storageClassName": ""},
                })
            volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in ("disk", "file")]
            await client.create(PODS, {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "default"},
                "spec": {"containers": [{"name": "main", "image": "x"}], "volumes": volumes,
                         "nodeName": name_of(node)},
            })

            async def attachments() -> list[Object]:
                return list((await client.list(ATTACHMENTS))["items"])

            async def one() -> bool:
                return len(await attachments()) == 1

            await cluster.until(one, within_s=60)
            [found] = await attachments()
            assert dig(found, "spec", "source", "persistentVolumeName") == "disk"
            await client.patch(ATTACHMENTS, name_of(found), {"status": {"attached": True}}, subresource="status")

            async def told() -> bool:
                return bool(dig(await client.get(NODES, name_of(node)), "status", "volumesAttached"))

            await cluster.until(told, within_s=60)
            await client.delete(PODS, "db", "default")

            async def gone() -> bool:
                return not await attachments()

            await cluster.until(gone, within_s=120)

    run(scenario())

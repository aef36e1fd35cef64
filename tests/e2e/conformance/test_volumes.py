"""sig-storage: what volumes hold, who may read it, and how it follows the API."""

from __future__ import annotations

import asyncio
import base64
import json
import os

from tests.e2e.conformance.board import case
from tests.e2e.conformance.space import Object, Space, container, once, pod, status, waiting

from sampan.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SECRETS
from sampan.apimachinery import errors


def mount(path: str = "/v", name: str = "v", **more: object) -> list[Object]:
    return [{"name": name, "mountPath": path, **more}]


def encoded(**data: str) -> Object:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


@case
async def test_config_maps_secrets_and_projections(space: Space) -> None:
    """Contents, default modes, items with paths and modes of their own, non-root with fsGroup, binary data."""
    await space.create(CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"data-1": "value-1", "data-2": "two"},
                                     "binaryData": {"bin": base64.b64encode(b"\xde\xca\xfe").decode()}})
    await space.create(SECRETS, {"metadata": {"name": "s"}, "data": encoded(**{"data-1": "value-1"})})
    items = [{"key": "data-1", "path": "path/to/data-1", "mode": 0o400}]
    show = "stat -L -c '%a %u %g' /v/data-1; cat /v/data-1"
    mapped = "stat -L -c '%a' /v/path/to/data-1; cat /v/path/to/data-1; ls /v"
    user = {"runAsUser": 1000, "fsGroup": 1001}

    def reading(name: str, script: str, volume: Object, **spec: object) -> Object:
        return once(name, container(script, volumeMounts=mount()), volumes=[{"name": "v", **volume}], **spec)

    stories: list[tuple[Object, str]] = [
        (reading("m", show, {"configMap": {"name": "m"}}), "644 0 0\nvalue-1"),
        (reading("m-mode", show, {"configMap": {"name": "m", "defaultMode": 0o400}}), "400 0 0\nvalue-1"),
        (reading("m-user", show, {"configMap": {"name": "m", "defaultMode": 0o440}}, securityContext=user),
         "440 0 1001\nvalue-1"),
        (reading("m-items", mapped, {"configMap": {"name": "m", "items": items}}), "400\nvalue-1path\n"),
        (reading("m-bin", "od -An -tx1 /v/bin 2>/dev/null || hexdump -C /v/bin || cat /v/bin | wc -c", {
            "configMap": {"name": "m"}}), ""),
        (reading("s", show, {"secret": {"secretName": "s"}}), "644 0 0\nvalue-1"),
        (reading("s-user", show, {"secret": {"secretName": "s", "defaultMode": 0o440}}, securityContext=user),
         "440 0 1001\nvalue-1"),
        (reading("s-items", mapped, {"secret": {"secretName": "s", "items": items}}), "400\nvalue-1path\n"),
        (reading("p", "cat /v/m/one /v/s/one /v/labels; stat -L -c %a /v/m/one", {"projected": {"defaultMode": 0o400,
            "sources": [
                {"configMap": {"name": "m", "items": [{"key": "data-1", "path": "m/one"}]}},
                {"secret": {"name": "s", "items": [{"key": "data-1", "path": "s/one"}]}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}}), 'value-1value-1app="p"400\n'),
        (reading("optional", "ls /v", {"configMap": {"name": "nothing", "optional": True}}), ""),
    ]
    printed = await asyncio.gather(*(space.output(made) for made, _ in stories))
    for (made, wanted), out in zip(stories, printed, strict=True):
        if made["metadata"]["name"] != "m-bin":
            assert out.rstrip("\n") == wanted.rstrip("\n"), made["metadata"]["name"]


@case
async def test_changes_reach_volumes_at_once(space: Space) -> None:
    """Updates, deletions and creations of ConfigMaps and Secrets, optional or not, plain or projected."""
    for kind, data in ((CONFIG_MAPS, {"a": "old"}), (SECRETS, encoded(a="old"))):
        await space.create(kind, {"metadata": {"name": "updated"}, "data": data})
        await space.create(kind, {"metadata": {"name": "deleted"}, "data": data})
    names = ("updated", "deleted", "created")
    volumes: list[Object] = []
    for name in names:
        volumes += [
            {"name": f"m-{name}", "configMap": {"name": name, "optional": True}},
            {"name": f"s-{name}", "secret": {"secretName": name, "optional": True}},
            {"name": f"p-{name}", "projected": {"sources": [{"configMap": {"name": name, "optional": True}}]}},
        ]
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    volumes.append({"name": "d", "downwardAPI": {"items": [labels]}})
    mounts = [one for volume in volumes for one in mount(f"/v/{volume['name']}", volume["name"])]
    await space.start(pod("web", container("exec sleep 1000", volumeMounts=mounts), volumes=volumes))
    each = "echo $f $(cat $f-updated/a) $(ls $f-deleted) $(cat $f-created/a 2>/dev/null)"
    show = f"cd /v; for f in m s p; do {each}; done"
    assert (await space.says("web", show)).splitlines() == ["m old a", "s old a", "p old a"]
    for kind, data in ((CONFIG_MAPS, {"a": "new"}), (SECRETS, encoded(a="new"))):
        await space.patch(kind, "updated", {"data": data})
        await space.delete(kind, "deleted")
        await space.create(kind, {"metadata": {"name": "created"}, "data": data})
    await space.patch(PODS, "web", {"metadata": {"labels": {"more": "yes"}}})

    async def followed() -> bool:
        return (await space.says("web", show)).splitlines() == ["m new new", "s new new", "p new new"]

    await space.eventually(followed, "the volumes' contents", 40)  # below the kubelet's interval of looking again

    async def labelled() -> bool:
        return 'more="yes"' in await space.says("web", "cat /v/d/labels")

    await space.eventually(labelled, "the labels", 40)


@case
async def test_immutable_ones_stay(space: Space) -> None:
    for kind, data in ((CONFIG_MAPS, {"a": "b"}), (SECRETS, encoded(a="b"))):
        await space.create(kind, {"metadata": {"name": "fixed"}, "data": data, "immutable": True})
        for change in ({"data": {"a": "Yw=="}}, {"immutable": False}):
            try:
                await space.patch(kind, "fixed", change)
            except errors.Invalid as error:
                assert "field is immutable when `immutable` is set" in error.message
            else:
                raise AssertionError("an immutable object was changed")
        await space.patch(kind, "fixed", {"metadata": {"labels": {"x": "y"}}})


@case
async def test_missing_ones_hold_the_pod(space: Space) -> None:
    await space.create(PODS, pod("web", container(volumeMounts=mount()), volumes=[
        {"name": "v", "secret": {"secretName": "late"}}]))
    await space.event("web", "FailedMount", 'secret "late" not found')
    await space.until(PODS, "web", lambda p: waiting(p) == "ContainerCreating", "its waiting")
    await space.create(SECRETS, {"metadata": {"name": "late"}, "data": {}})
    await space.ready("web")


@case
async def test_downward_api_volumes(space: Space) -> None:
    items = [
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}, "mode": 0o400},
        {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
        {"path": "cpu_limit", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
        {"path": "memory_limit", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory"}},
        {"path": "cpu_request", "resourceFieldRef": {
            "containerName": "main", "resource": "requests.cpu", "divisor": "1m"}},
        {"path": "free", "resourceFieldRef": {"containerName": "other", "resource": "limits.memory"}},
    ]
    resources = {"requests": {"cpu": "250m"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    script = "cd /v; stat -L -c %a name annotations; cat name annotations; for f in *_* free; do echo; cat $f; done"
    out = await space.output(once(
        "web", container(script, volumeMounts=mount(), resources=resources), container("true", name="other"),
        annotations={"builder": "bar"}, nodeName=space.nodes[0],
        volumes=[{"name": "v", "downwardAPI": {"items": items}}]), "main")
    memory = (await space.node(space.nodes[0]))["status"]["allocatable"]["memory"]
    free = int(memory.removesuffix("Ki")) * 1024
    assert out.split() == ["400", "644", 'webbuilder="bar"', "2", "250", str(64 * 2**20), str(free)]


@case
async def test_empty_dirs(space: Space) -> None:
    """EmptyDir: modes, owners, memory, sharing between containers."""
    user = {"runAsUser": 1001}
    script = (
        "stat -c '%a %u %g' /v; echo hi >/v/f; stat -c '%a %u %g' /v/f; cat /v/f; "
        "while read a b c d; do test $b = /v && echo $c; done </proc/mounts; true"
    )
    both = [container("cat /proc/mounts >/dev/null; while ! cat /v/shared 2>/dev/null; do sleep 0.1; done",
                      volumeMounts=mount()),
            container("echo shared >/v/begun; mv /v/begun /v/shared", name="writer", volumeMounts=mount())]

    def of(name: str, source: Object, **spec: object) -> Object:
        return once(name, container(script, volumeMounts=mount()), volumes=[{"name": "v", "emptyDir": source}], **spec)

    plain, memory, nonroot, group, shared = await asyncio.gather(
        space.output(of("plain", {})), space.output(of("memory", {"medium": "Memory", "sizeLimit": "1Mi"})),
        space.output(of("nonroot", {}, securityContext=user)),
        space.output(of("group", {"medium": "Memory"}, securityContext={**user, "fsGroup": 123})),
        space.output(once("shared", *both, volumes=[{"name": "v", "emptyDir": {}}]), "main"),
    )
    assert plain.split("\n")[:3] == ["777 0 0", "644 0 0", "hi"] and "tmpfs" not in plain
    assert memory.split("\n")[0] == "777 0 0" and "tmpfs" in memory
    assert nonroot.split("\n")[1] == "644 1001 0"
    assert group.split("\n")[:2] == ["2777 0 123", "644 1001 123"] and shared == "shared\n"


@case
async def test_image_volumes(space: Space) -> None:
    """An image's files, read-only, whole and by subPath; what cannot be pulled says so."""
    image = {"reference": "agnhost:1", "pullPolicy": "IfNotPresent"}
    script = "cat /v/etc/passwd /sub/passwd; (echo x >/v/new) 2>/dev/null || echo read-only"
    mounts = [*mount(), *mount("/sub", subPath="etc")]
    volumes = [{"name": "v", "image": image}]
    out = await space.output(once("web", container(script, volumeMounts=mounts), volumes=volumes))
    lines = out.splitlines()
    half = len(lines) // 2
    assert lines[-1] == "read-only" and lines[:half] == lines[half:-1] and "root:x:0" in lines[0]
    await space.create(PODS, pod("missing", container(volumeMounts=mount()), volumes=[
        {"name": "v", "image": {"reference": "127.0.0.1:1/none:1"}}]))
    await space.until(PODS, "missing", lambda p: waiting(p) in ("ErrImagePull", "ImagePullBackOff"), "the reason")


@case
async def test_limits_on_disk(space: Space) -> None:
    """EmptyDir sizeLimit and ephemeral-storage limits: who writes more is evicted."""
    fills = "head -c 3000000 </dev/zero >/v/f; sleep 1000"
    await space.create(PODS, pod("volume", container(fills, volumeMounts=mount()), volumes=[
        {"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]))
    limits = {"limits": {"ephemeral-storage": "1Mi"}}
    await space.create(PODS, pod("layer", container(fills.replace("/v/f", "/tmp/f"), resources=limits)))
    for name, words in (("volume", 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
                        ("layer", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ")):
        shown = await space.ended(name)
        assert (shown["status"]["phase"], shown["status"]["reason"]) == ("Failed", "Evicted")
        assert shown["status"]["message"] == words


@case
async def test_sub_paths(space: Space) -> None:
    """Subpath: with atomic writers, files, directories that are made, and never out of the volume."""
    await space.create(CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"key": "value"}})
    await space.create(SECRETS, {"metadata": {"name": "s"}, "data": encoded(key="value")})
    volumes: list[Object] = [
        {"name": "m", "configMap": {"name": "m"}}, {"name": "s", "secret": {"secretName": "s"}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "m"}}]}},
        {"name": "e", "emptyDir": {}},
    ]
    mounts = [mount(f"/v/{name}", name, subPath="key")[0] for name in ("m", "s", "p")]
    mounts += [*mount("/v/deep", "e", subPath="a/b/c"), *mount("/v/whole", "e")]
    script = "cat /v/m /v/s /v/p; echo x >/v/deep/f; cat /v/whole/a/b/c/f; ln -s / /v/whole/root; sleep 1000"
    await space.start(pod("web", container(script, volumeMounts=mounts), volumes=volumes))

    async def printed() -> bool:
        return await space.logs("web") == "valuevaluevaluex\n"

    await space.eventually(printed, "the files")
    plants = container("ln -s /etc /v/evil", name="plant", volumeMounts=mount())
    used = container("ls /bad; sleep 1000", volumeMounts=mount("/bad", subPath="evil"))
    await space.create(PODS, pod("evil", used, initContainers=[plants], volumes=[{"name": "v", "emptyDir": {}}]))
    shown = await space.until(PODS, "evil", lambda p: waiting(p) == "CreateContainerConfigError", "the refusal")
    assert "failed to prepare subPath for volumeMount" in status(shown)["state"]["waiting"]["message"]


@case
async def test_host_paths(space: Space) -> None:
    """HostPath: each type, made where the type says so, refused where it is another."""
    root, node = f"/tmp/{space.name}", space.nodes[0]

    def of(name: str, kind: str, path: str, script: str = "true") -> Object:
        return once(name, container(script, volumeMounts=mount()), nodeName=node,
                    volumes=[{"name": "v", "hostPath": {"path": f"{root}{path}", "type": kind}}])

    try:
        assert await space.output(of("dir", "DirectoryOrCreate", "", "echo hi >/v/f; stat -c %a /v")) == "755\n"
        assert await space.output(of("file", "FileOrCreate", "/new", "stat -c %a /v")) == "644\n"
        assert await space.output(of("old", "File", "/f", "cat /v")) == "hi\n"
        await space.create(PODS, of("wrong", "Directory", "/f"))
        await space.create(PODS, of("missing", "Directory", "/gone"))
        await space.create(PODS, of("socket", "Socket", "/f"))
        assert f"hostPath type check failed: {root}/f is not a directory" in await space.event("wrong", "FailedMount")
        assert "is not a directory" in await space.event("missing", "FailedMount")
        assert "is not a socket" in await space.event("socket", "FailedMount")
    finally:
        for name in ("f", "new"):
            if os.path.exists(f"{root}/{name}"):
                os.unlink(f"{root}/{name}")
        os.rmdir(root)


@case
async def test_tokens(space: Space) -> None:
    """Projected ServiceAccount tokens: audience, life, and who owns them."""
    token = {"serviceAccountToken": {"path": "token", "audience": "me", "expirationSeconds": 600}}
    out = await space.output(once(
        "web", container("cat /v/token; echo; stat -L -c '%a %u %g' /v/token", volumeMounts=mount()),
        securityContext={"runAsUser": 1000, "fsGroup": 2000},
        volumes=[{"name": "v", "projected": {"sources": [token]}}]))
    text, modes = out.split("\n")[:2]
    claims = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    assert claims["aud"] == ["me"] and claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"]["pod"]["name"] == "web" and claims["sub"].endswith(":default")
    assert modes == "640 1000 2000"


@case
async def test_persistent_volumes(space: Space) -> None:
    """A claim, its volume on the node, and a pod that keeps its data."""
    name, path = space.name, f"/tmp/{space.name}-pv"
    await space.create(PERSISTENT_VOLUMES, {"metadata": {"name": name, "labels": {"set": name}}, "spec": {
        "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path},
        "persistentVolumeReclaimPolicy": "Retain", "storageClassName": name}})
    try:
        await space.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "claim"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": name}})
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}]
        made = container("echo kept >>/v/f; cat /v/f", volumeMounts=mount())
        assert await space.output(once("first", made, volumes=volumes)) == "kept\n"
        assert await space.output(once("second", made, volumes=volumes)) == "kept\nkept\n"
    finally:
        for one in ("first", "second"):
            await space.delete(PODS, one)
        await space.delete(PERSISTENT_VOLUME_CLAIMS, "claim")
        await space.delete(PERSISTENT_VOLUMES, name)
        if os.path.exists(f"{path}/f"):
            os.unlink(f"{path}/f")
            os.rmdir(path)

"""Volumes: what is in them, who may read it, how it changes under a running container, and that nothing is left."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import CURL, apply, container, events, get, once, output, pod, ready, statuses


def mounts(*pairs: str, **fields: Any) -> dict[str, Any]:
    """`name:/path` each."""
    return {"volumeMounts": [dict(zip(("name", "mountPath"), pair.split(":"), strict=True)) | fields for pair in pairs]}


def test_empty_dir(kubectl: Kubectl) -> None:
    both = mounts("disk:/disk", "memory:/memory")
    volumes = [
        {"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    write = "echo hello > /disk/new; busybox mv /disk/new /disk/file"
    fill = "busybox dd if=/dev/zero of=/memory/big bs=1M count=2 2>&1 | busybox grep -i space"
    apply(
        kubectl,
        pod("shared", container(f"{write}; touch /memory/m; sleep 3600", **both),
            container("until cat /disk/file; do busybox usleep 100000; done; sleep 3600", "reader", **both),
            container("test -e /disk/once || { touch /disk/once; exit 1; }; sleep 3600", "again", **both),
            volumes=volumes),
        once("full", container(f"{fill}; stat -f -c %T /memory; stat -c %a /disk", **both), volumes=volumes),
    )
    lines = output(kubectl, "full").splitlines()
    assert "No space left on device" in lines[0]
    assert lines[1:] == ["tmpfs", "777"]
    eventually(lambda: kubectl("logs", "shared", "-c", "reader").endswith("hello\n"))
    eventually(lambda: statuses(get(kubectl, "shared"))["again"]["restartCount"] == 1)
    ready(kubectl, "shared")
    uid = get(kubectl, "shared")["metadata"]["uid"]
    assert uid in Path("/proc/mounts").read_text() or _mounted_somewhere(uid)
    kubectl("delete", "pod", "shared", "full")
    eventually(lambda: not _mounted_somewhere(uid), what="nothing of the pod is mounted")


def _mounted_somewhere(uid: str) -> bool:
    """Whether any process's mount namespace knows the pod's folder."""
    for table in Path("/proc").glob("[0-9]*/mounts"):
        try:
            if uid in table.read_text():
                return True
        except OSError:
            continue
    return False


def test_host_path(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")

    def volume(name: str, kind: str, path: str) -> dict[str, Any]:
        return {"name": name, "hostPath": {"path": str(tmp_path / path), "type": kind}}

    apply(
        kubectl,
        once("good", container("cat /file; echo made > /made/by-pod; touch /new && echo empty; "
                               "touch /ro/x 2>&1 || echo read-only",
                               volumeMounts=[{"name": "file", "mountPath": "/file"},
                                             {"name": "made", "mountPath": "/made"},
                                             {"name": "new", "mountPath": "/new"},
                                             {"name": "made", "mountPath": "/ro", "readOnly": True}]),
             volumes=[volume("file", "File", "file"), volume("made", "DirectoryOrCreate", "made"),
                      volume("new", "FileOrCreate", "new")]),
        pod("bad", container(**mounts("d:/d")), volumes=[volume("d", "Directory", "file")]),
    )
    assert output(kubectl, "good").splitlines() == [
        "from the host", "empty", "touch: /ro/x: Read-only file system", "read-only",
    ]
    assert (tmp_path / "made" / "by-pod").read_text() == "made\n"
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o755
    told = eventually(lambda: events(kubectl, "bad").get("FailedMount"))
    failed = 'MountVolume.SetUp failed for volume "d" : hostPath type check failed'
    assert told == f"{failed}: {tmp_path}/file is not a directory"
    eventually(lambda: "ContainerCreating" in kubectl("get", "pod", "bad", "--no-headers"))


def test_config_maps_and_secrets(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=one=1", "--from-literal=two=2")
    kubectl("create", "secret", "generic", "hidden", "--from-literal=word=xyzzy")
    volumes = [
        {"name": "all", "configMap": {"name": "settings"}},
        {"name": "some", "configMap": {"name": "settings", "items": [{"key": "two", "path": "a/b", "mode": 0o400}]}},
        {"name": "secret", "secret": {"secretName": "hidden", "defaultMode": 0o440}},
        {"name": "optional", "configMap": {"name": "absent", "optional": True}},
    ]
    where = mounts("all:/all", "some:/some", "secret:/secret", "optional:/optional")
    where["volumeMounts"].append({"name": "all", "mountPath": "/sub/one", "subPath": "one"})
    show = "cat /all/one /some/a/b /secret/word /sub/one; echo; ls /optional /all; "
    show += "stat -L -c %a /some/a/b /secret/word /all/one"
    late = {"volumes": [{"name": "v", "secret": {"secretName": "late"}}]}
    apply(
        kubectl,
        pod("watching", container(f"{show}; echo shown; sleep 3600", **where), volumes=volumes),
        pod("early", container(**mounts("v:/v")), **late),
    )
    ready(kubectl, "watching")
    printed = eventually(lambda: (found := kubectl("logs", "watching")).endswith("shown\n") and found)
    assert printed.splitlines()[0] == "12xyzzy1"
    assert printed.split()[1:] == ["/all:", "one", "two", "/optional:", "400", "440", "644", "shown"]
    message = eventually(lambda: events(kubectl, "early").get("FailedMount"))
    assert message == 'MountVolume.SetUp failed for volume "v" : secret "late" not found'
    kubectl("create", "secret", "generic", "late", "--from-literal=k=v")
    ready(kubectl, "early")
    kubectl("patch", "configmap", "settings", "-p", '{"data":{"one":"changed","three":"3","two":null}}')
    kubectl("create", "configmap", "absent", "--from-literal=came=later")
    eventually(lambda: kubectl("exec", "watching", "--", "cat", "/all/one") == "changed", timeout_s=100)
    assert kubectl("exec", "watching", "--", "ls", "/all").split() == ["one", "three"]
    assert kubectl("exec", "watching", "--", "cat", "/sub/one") == "1", "a subPath is a copy of its moment"
    eventually(lambda: kubectl("exec", "watching", "--", "cat", "/optional/came") == "later", timeout_s=100)


def test_projected_and_downward_api(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=one=1")
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "one", "path": "from-config"}]}},
        {"downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}},
        ]}},
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
    ]
    spec = {"volumes": [{"name": "p", "projected": {"sources": sources, "defaultMode": 0o444}}]}
    main = container(**mounts("p:/p"), resources={"limits": {"cpu": "150m"}})
    metadata = {"annotations": {"note": "first"}, "labels": {"a": "b", "c": "d"}}
    apply(kubectl, pod("projected", main, metadata=metadata, **spec))
    ready(kubectl, "projected")

    def read(name: str) -> str:
        return kubectl("exec", "projected", "--", "cat", f"/p/{name}")

    assert read("from-config") == "1"
    assert read("labels") == 'a="b"\nc="d"'
    assert read("cpu") == "150"
    claims = json.loads(base64.urlsafe_b64decode(read("token").split(".")[1] + "=="))
    assert claims["aud"] == ["vault"]
    assert claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"]["pod"]["name"] == "projected"
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:default"
    kubectl("annotate", "pod", "projected", "note=second", "--overwrite")
    eventually(lambda: read("note") == "second", timeout_s=100)


def test_a_pod_may_call_the_api_with_its_own_account(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader")
    own = "/var/run/secrets/kubernetes.io/serviceaccount"
    ask = (
        f'N=$(cat {own}/namespace); curl -sS --cacert {own}/ca.crt -H "Authorization: Bearer $(cat {own}/token)" '
        "https://kubernetes.default.svc/api/v1/namespaces/$N/"
    )
    apply(
        kubectl,
        once("reader", container(f"{ask}pods; {ask}secrets", image=CURL), serviceAccountName="reader"),
        once("unmounted", f"ls {own} 2>&1 || true", automountServiceAccountToken=False),
    )
    printed = output(kubectl, "reader")
    assert '"kind":"PodList"' in printed.replace(" ", "")
    account = f"system:serviceaccount:{kubectl.namespace}:reader"
    assert f'secrets is forbidden: User \\"{account}\\" cannot list resource' in printed
    assert "No such file or directory" in output(kubectl, "unmounted")


def test_sub_paths(kubectl: Kubectl) -> None:
    volumes = [{"name": "d", "emptyDir": {}}]
    within = {"name": "d", "mountPath": "/inner", "subPathExpr": "$(POD)/x"}
    named = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    apply(
        kubectl,
        once("expanded", container("echo in > /inner/f; cat /all/expanded/x/f", env=named,
                                   volumeMounts=[within, {"name": "d", "mountPath": "/all"}]), volumes=volumes),
        pod("escaping", container(volumeMounts=[{"name": "d", "mountPath": "/x", "subPath": "link/etc"}]),
            initContainers=[container("busybox ln -s / /d/link", "link", **mounts("d:/d"))], volumes=volumes),
    )
    assert output(kubectl, "expanded") == "in\n"
    waiting = eventually(lambda: statuses(get(kubectl, "escaping"))["main"]["state"]["waiting"].get("message"))
    assert "failed to prepare subPath for volumeMount \"d\" of container \"main\"" in waiting
    assert "absent.example" in kubectl.fails("create", "-f", "-", stdin=json.dumps(
        pod("bad", container(volumeMounts=[{"name": "absent.example", "mountPath": "/x"}]))))

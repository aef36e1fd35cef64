"""Image names, credentials and durations."""

from __future__ import annotations

import base64
import json

import pytest

from sampan.kubelet.images import duration, pull_policy
from sampan.kubelet.registry_auth import credentials, registry_and_path


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", ("docker.io", "nginx")), ("a/b:1", ("docker.io", "a/b")), ("quay.io/a/b:1", ("quay.io", "a/b")),
        ("localhost:5000/x", ("localhost:5000", "x")), ("r.io/x@sha256:abc", ("r.io", "x")),
    ],
)
def test_where_an_image_is_from(image: str, expected: tuple[str, str]) -> None:
    assert registry_and_path(image) == expected


def secret(**auths: dict[str, str]) -> dict[str, object]:
    text = json.dumps({"auths": {key.replace("__", "/").replace("_", "."): value for key, value in auths.items()}})
    return {"data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()}}


def test_the_longest_match_comes_first() -> None:
    pair = base64.b64encode(b"deep:pw").decode()
    found = credentials("quay.io/team/app:1", [secret(
        quay_io={"username": "wide", "password": "p"}, quay_io__team={"auth": pair}, other_io={"username": "no"},
    )])
    assert [auth.username for auth in found] == ["deep", "wide"] and found[0].password == "pw"
    assert [auth.server_address for auth in found] == ["", ""], "containerd ignores who names a host without a scheme"
    assert credentials("nginx", [secret(quay_io={"username": "wide"})]) == []
    assert credentials("nginx", [{"data": {".dockerconfigjson": "bm8="}}]) == []


@pytest.mark.parametrize(
    ("container", "policy"),
    [
        ({"image": "a"}, "Always"), ({"image": "a:latest"}, "Always"), ({"image": "a:1"}, "IfNotPresent"),
        ({"image": "r:5000/a"}, "Always"), ({"image": "a@sha256:0"}, "IfNotPresent"),
        ({"image": "a", "imagePullPolicy": "Never"}, "Never"),
    ],
)
def test_pull_policies(container: dict[str, str], policy: str) -> None:
    assert pull_policy(container) == policy


def test_durations_as_go_prints_them() -> None:
    assert [duration(s) for s in (0, 0.765, 1.2, 10, 160, 300, 3661)] == [
        "0s", "765ms", "1.2s", "10s", "2m40s", "5m0s", "1h1m1s"
    ]

"""Archives are reproducible and complete."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from sampan.cri.image_archive import ImageFile, ImageSpec, build
from sampan.cri.images import normalized


def _members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def test_the_same_input_gives_the_same_bytes() -> None:
    files = {"/bin/a": ImageFile(b"x", 0o755), "/etc/b": ImageFile(link_to="/bin/a")}
    backwards = dict(reversed(files.items()))
    assert build(ImageSpec("r/a:1", files)) == build(ImageSpec("r/a:1", backwards))


def test_the_index_names_the_image_and_the_layer_holds_its_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root")
    members = _members(build(ImageSpec("docker.io/library/a:2", {"/bin/a": ImageFile(b"x", 0o755)}, root=tmp_path)))
    index = json.loads(members["index.json"])
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/library/a:2"
    manifest = json.loads(members["blobs/sha256/" + index["manifests"][0]["digest"].partition(":")[2]])
    layer = members["blobs/sha256/" + manifest["layers"][0]["digest"].partition(":")[2]]
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as tar:
        assert tar.getnames() == ["etc", "etc/passwd", "bin", "bin/a"]
        assert tar.getmember("bin/a").mode == 0o755


def test_short_references_are_completed_as_docker_does() -> None:
    assert normalized("nginx") == "docker.io/library/nginx:latest"
    assert normalized("nginx:1.7.9") == "docker.io/library/nginx:1.7.9"
    assert normalized("a/b") == "docker.io/a/b:latest"
    assert normalized("localhost:5000/a:1") == "localhost:5000/a:1"
    assert normalized("reg.example/a@sha256:00") == "reg.example/a@sha256:00"

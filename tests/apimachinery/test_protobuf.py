"""Kubernetes' protobuf bodies, as kubectl sends them.

Messages are composed field by field, as Go writes them: a value for all that is no pointer.
"""

from __future__ import annotations

import struct

import pytest

from sampan.apimachinery.decode import decode
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.protobuf import ProtobufError, decode_object


def _field(number: int, payload: bytes | int) -> bytes:
    if isinstance(payload, int):
        return bytes([number << 3]) + _varint(payload)
    return bytes([number << 3 | 2]) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _object(api_version: str, kind: str, message: bytes) -> bytes:
    meta = _field(1, api_version.encode()) + _field(2, kind.encode())
    return b"k8s\x00" + _field(1, meta) + _field(2, message)


def test_a_namespace_as_kubectl_creates_it_is_read() -> None:
    metadata = _field(1, b"demo") + _field(2, b"") + _field(3, b"") + _field(5, b"") + _field(7, 0) + _field(8, b"")
    body = _object("v1", "Namespace", _field(1, metadata) + _field(2, b"") + _field(3, _field(1, b"")))
    found = decode(body, "application/vnd.kubernetes.protobuf")
    assert found["kind"] == "Namespace"
    assert found["metadata"] == {"name": "demo"}


def test_zero_is_kept_where_go_has_a_pointer_and_dropped_where_json_would_omit_it() -> None:
    spec = _field(1, 0) + _field(5, 0)  # replicas is *int32, minReadySeconds int32
    found = decode_object(_object("apps/v1", "Deployment", _field(2, spec)))
    assert found["spec"] == {"replicas": 0}


def test_inlined_structs_quantities_and_ports_are_as_in_json() -> None:
    volume = _field(1, b"v") + _field(2, _field(2, _field(1, b"")))  # VolumeSource is inlined; emptyDir is its field 2
    request = _field(1, b"cpu") + _field(2, _field(1, b"100m"))
    probe = _field(1, _field(2, _field(1, b"/") + _field(2, _field(1, 1) + _field(3, b"web"))))
    container = _field(1, b"c") + _field(8, _field(2, request)) + _field(10, probe)
    found = decode_object(_object("v1", "Pod", _field(2, _field(1, volume) + _field(2, container))))
    assert found["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    container = found["spec"]["containers"][0]
    assert container["resources"] == {"requests": {"cpu": "100m"}}
    assert container["livenessProbe"] == {"httpGet": {"path": "/", "port": "web"}}


def test_times_are_rfc_3339_and_the_zero_time_is_left_out() -> None:
    moment = _field(8, _field(1, 1_700_000_000))
    found = decode_object(_object("v1", "ConfigMap", _field(1, _field(1, b"n") + moment)))
    assert found["metadata"] == {"name": "n", "creationTimestamp": "2023-11-14T22:13:20Z"}
    found = decode_object(_object("v1", "ConfigMap", _field(1, _field(1, b"n") + _field(8, b""))))
    assert found["metadata"] == {"name": "n"}


@pytest.mark.parametrize("body", [
    b"", b"{}", b"k8s\x00\x0a", b"k8s\x00\x0a\x7f", _object("v1", "Nothing", b""), _object("v1", "Pod", b"\x12\x0f"),
    _object("v1", "Pod", b"\x0a\x04\x0a\x02\xff\xfe"), struct.pack("<I", 0) * 8,
])
def test_what_is_no_object_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(ProtobufError):
        decode_object(body)
    with pytest.raises(BadRequest):
        decode(body, "application/vnd.kubernetes.protobuf")

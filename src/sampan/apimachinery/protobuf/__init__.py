"""Kubernetes' protobuf encoding of API objects: many Go programs, kubectl among them, speak nothing else."""

from sampan.apimachinery.protobuf.decode import decode_object
from sampan.apimachinery.protobuf.encode import can_encode, encode_event, encode_list, encode_message, encode_object
from sampan.apimachinery.protobuf.wire import ProtobufError, wrap

__all__ = [
    "ProtobufError", "can_encode", "decode_object", "encode_event", "encode_list", "encode_message", "encode_object",
    "wrap",
]

"""Kubernetes' protobuf encoding of API objects: many Go programs, kubectl among them, send nothing else."""

from sampan.apimachinery.protobuf.decode import decode_object
from sampan.apimachinery.protobuf.wire import ProtobufError

__all__ = ["ProtobufError", "decode_object"]

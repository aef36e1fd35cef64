"""Values that only functions can look into: quantities, URLs, addresses, authorisation checks.

The CEL library carries strings, numbers, lists, maps and protobuf messages across the border to Python, so an opaque
value is a message with one text. Two are equal when their texts are, hence every text is in canonical form.
"""

from __future__ import annotations

import functools
from typing import Any, Final

QUANTITY: Final = "kubernetes.Quantity"
URL: Final = "kubernetes.URL"
SEMVER: Final = "kubernetes.Semver"
IP: Final = "net.IP"
CIDR: Final = "net.CIDR"
AUTHORIZER: Final = "kubernetes.authorization.Authorizer"
PATH_CHECK: Final = "kubernetes.authorization.PathCheck"
GROUP_CHECK: Final = "kubernetes.authorization.GroupCheck"
RESOURCE_CHECK: Final = "kubernetes.authorization.ResourceCheck"
DECISION: Final = "kubernetes.authorization.Decision"
ALL: Final = (
    QUANTITY, URL, SEMVER, IP, CIDR, AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION,
)
_STRING: Final = 9


@functools.cache
def pool() -> Any:
    """The descriptors of all opaque types."""
    from google.protobuf import descriptor_pb2, descriptor_pool  # loaded with the first expression

    made = descriptor_pool.DescriptorPool()
    for package in dict.fromkeys(name.rpartition(".")[0] for name in ALL):
        file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        for name in ALL:
            if name.rpartition(".")[0] == package:
                message = file.message_type.add(name=name.rpartition(".")[2])
                message.field.add(name="text", number=1, type=_STRING, label=1)
        made.AddSerializedFile(file.SerializeToString())
    return made


@functools.cache
def _class(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def pack(name: str, text: str) -> Any:
    """A value of the opaque type."""
    return _class(name)(text=text)


def text_of(value: Any) -> str:
    """What `pack` was given."""
    return str(value.text)


def type_of(value: Any) -> str:
    """The name of its opaque type; empty for any other value."""
    descriptor = getattr(value, "DESCRIPTOR", None)
    return "" if descriptor is None else str(descriptor.full_name)

"""OpenAPI v2 and v3 documents, made from what the server says it serves and from upstream's definitions."""

from sampan.apimachinery.openapi.served import ServedResource, ServedSubresource

__all__ = ["ServedResource", "ServedSubresource"]

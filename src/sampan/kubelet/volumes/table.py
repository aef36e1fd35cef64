"""The volume types, in one table: a Volume's key -> how to set it up."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.kubelet.volumes import (
    config_map,
    downward_api,
    empty_dir,
    host_path,
    image,
    persistent,
    projected,
    secret,
)
from sampan.kubelet.volumes.context import Mount

VOLUMES: Mapping[str, Mount] = {
    "emptyDir": empty_dir.mount,
    "hostPath": host_path.mount,
    "configMap": config_map.mount,
    "secret": secret.mount,
    "projected": projected.mount,
    "downwardAPI": downward_api.mount,
    "persistentVolumeClaim": persistent.mount,
    "ephemeral": persistent.mount_ephemeral,
    "image": image.mount,
}

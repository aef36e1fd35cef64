"""VolumeAttributesClass: mutable properties that a CSI driver gives to volumes."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import VOLUME_ATTRIBUTES_CLASSES

VOLUME_ATTRIBUTES_CLASS = Kind(
    resource=VOLUME_ATTRIBUTES_CLASSES,
    definition="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    short_names=("vac",),
    columns=(NAME, Column("DriverName", "string", at("driverName"), "Name of the CSI driver."), AGE),
)

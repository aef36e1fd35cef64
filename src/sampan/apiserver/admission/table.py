"""The admission plugins in upstream's order; `OFF` are those that a server runs only when told to.

A plugin is built once a server. `disable_admission` and `enable_admission` of the configuration name plugins.
"""

from __future__ import annotations

from sampan.apiserver.admission import (
    default_toleration_seconds,
    namespace_lifecycle,
    node_restriction,
    priority,
    service_account,
    taint_nodes_by_condition,
)
from sampan.apiserver.seams import Admission, BuildAdmission, ServerParts

ADMISSION: tuple[BuildAdmission, ...] = (
    namespace_lifecycle.build,
    service_account.build,
    node_restriction.build,
    taint_nodes_by_condition.build,
    priority.build,
    default_toleration_seconds.build,
)

OFF: frozenset[str] = frozenset({"OwnerReferencesPermissionEnforcement", "AlwaysPullImages"})


def plugins(parts: ServerParts) -> list[Admission]:
    """Those that this server runs, in order."""
    config = parts.config
    found = [plugin for build in ADMISSION if (plugin := build(parts)) is not None]
    return [
        plugin for plugin in found
        if plugin.name not in config.disable_admission
        and (plugin.name not in OFF or plugin.name in config.enable_admission)
    ]

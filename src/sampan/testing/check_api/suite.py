"""All checks, in the order in which they are printed."""

from __future__ import annotations

from typing import Final

from sampan.testing.check_api import deletions, discoveries, lists, objects, patches, views, watches
from sampan.testing.check_api.endpoint import Check

CHECKS: Final[tuple[Check, ...]] = (
    *objects.CHECKS, *lists.CHECKS, *watches.CHECKS, *patches.CHECKS, *deletions.CHECKS, *views.CHECKS,
    *discoveries.CHECKS,
)

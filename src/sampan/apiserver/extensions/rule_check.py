"""Refuses CustomResourceDefinitions whose rules in CEL do not compile; CEL is loaded by the first that has any."""

from __future__ import annotations

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.schema.structural import has_rules


class RuleCheck:
    """See `registry.hooks.Hook`. It reserves nothing."""

    async def prepare(self, new: Object, old: Object | None, *, dry_run: bool) -> None:
        """Schemas that an update leaves alone are not checked again. Raises Invalid."""
        before = [dig(version, "schema") for version in dig(old or {}, "spec", "versions", default=())]
        found: list[FieldError] = []
        for position, version in enumerate(dig(new, "spec", "versions", default=())):
            raw = dig(version, "schema", "openAPIV3Schema")
            if raw is None or dig(version, "schema") in before or not has_rules(raw):
                continue
            from sampan.apiserver.extensions import rules

            path = Path("spec").child("versions").index(position).child("schema").child("openAPIV3Schema")
            found += rules.check(raw, path)
        if found:
            raise errors.invalid(CUSTOM_RESOURCE_DEFINITIONS, name_of(new), found)

    async def secure(self, reserved: object, obj: Object) -> None:
        """Nothing to make."""

    def finish(self, reserved: object, *, written: bool) -> None:
        """Nothing to let go."""

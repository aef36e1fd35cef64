"""Conversion between versions by a webhook: `ConversionReview` to whoever the definition names.

What was converted is remembered by uid and resourceVersion, so that a watch, a list and a get of the same state cost
one call. Metadata comes back as it went, but for labels and annotations; everything else a webhook says about it is
dropped, as upstream does.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import orjson

from sampan import effects
from sampan.api.kind import Convert
from sampan.apimachinery.errors import InternalError
from sampan.apimachinery.object import Object, resource_version_of, uid_of
from sampan.apiserver.webhooks.caller import CallFailed, WebhookCaller

_REMEMBERED: Final = 4096
_CONVERTED: Final = ("labels", "annotations")
TIMEOUT_S: Final = 30.0


def converter(crd: Object, caller: WebhookCaller) -> Convert:
    """The definition's webhook as a function."""
    return _Converter(crd, caller).convert


class _Converter:
    def __init__(self, crd: Object, caller: WebhookCaller) -> None:
        webhook = crd["spec"]["conversion"]["webhook"]
        version = next(name for name in webhook["conversionReviewVersions"] if name in ("v1", "v1beta1"))
        self._kind = crd["spec"]["names"]["kind"]
        self._config = webhook["clientConfig"]
        self._caller = caller
        self._api_version = f"apiextensions.k8s.io/{version}"
        self._known: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    async def convert(self, objects: list[Object], api_version: str) -> list[Object]:
        """Those of other versions go to the webhook, all at once."""
        result = list(objects)
        missing: list[int] = []
        for position, obj in enumerate(objects):
            if obj["apiVersion"] == api_version:
                continue
            known = self._known.get(_key(obj, api_version))
            if known is not None:
                result[position] = orjson.loads(known)
            else:
                missing.append(position)
        if missing:
            converted = await self._ask([objects[position] for position in missing], api_version)
            for position, obj in zip(missing, converted, strict=True):
                result[position] = obj
                self._remember(objects[position], api_version, obj)
        return result

    def _remember(self, source: Object, api_version: str, converted: Object) -> None:
        key = _key(source, api_version)
        if all(key):
            self._known[key] = orjson.dumps(converted)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    async def _ask(self, objects: list[Object], api_version: str) -> list[Object]:
        uid = effects.uid()
        review = {
            "kind": "ConversionReview", "apiVersion": self._api_version,
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        }
        source = f"{objects[0]['apiVersion']}, Kind={self._kind}"
        try:
            answer = await self._caller.post(self._config, review, TIMEOUT_S)
        except CallFailed as error:
            raise InternalError(f"conversion webhook for {source} failed: {error}") from None
        try:
            found = _converted(answer, uid, len(objects))
        except InternalError as error:
            raise InternalError(f"conversion webhook for {source} failed: {error.message}") from None
        for before, after in zip(objects, found, strict=True):
            if after.get("apiVersion") != api_version or after.get("kind") != before["kind"]:
                shown = f"{after.get('apiVersion')}, Kind={after.get('kind')}"
                raise InternalError(f"conversion webhook for {source} returned invalid converted object: invalid "
                                    f"groupVersion or kind {shown}")
            _restore(before, after)
        return found


def _converted(answer: Any, uid: str, count: int) -> list[Object]:
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise InternalError("no response provided")
    if response.get("uid") != uid:
        raise InternalError(f'expected response.uid="{uid}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise InternalError(result.get("message") or "returned an unspecified failure")
    found = response.get("convertedObjects")
    if not isinstance(found, list) or len(found) != count:
        returned = len(found) if isinstance(found, list) else 0
        raise InternalError(f"returned {returned} objects, expected {count}")
    return found


def _restore(before: Object, after: Object) -> None:
    """Only labels and annotations are a webhook's to change."""
    given, original = after.get("metadata"), before["metadata"]
    if not isinstance(given, dict) or any(given.get(key) != original.get(key) for key in ("name", "uid")):
        raise InternalError("conversion webhook returned invalid metadata")
    metadata = {key: value for key, value in original.items() if key not in _CONVERTED}
    metadata |= {key: given[key] for key in _CONVERTED if given.get(key)}
    after["metadata"] = metadata


def _key(obj: Object, api_version: str) -> tuple[str, str, str]:
    return uid_of(obj), resource_version_of(obj), f"{obj['apiVersion']} {api_version}"

"""Strategic merge patch: a merge patch that knows which lists are maps in disguise.

Objects merge field by field and null removes, as in a merge patch. A list whose schema says `patchStrategy: merge`
merges item by item: scalars as a set, objects by their merge key; other lists are replaced. Directives inside the patch
steer it:

    $patch: replace | delete | merge        on an object, or on an item of a merged list
    $retainKeys: [names]                    fields of this object that survive; all others go
    $setElementOrder/FIELD: [keys]          the order that the merged list is to have
    $deleteFromPrimitiveList/FIELD: [..]    scalars to take out of a merged list

Order: items named by the patch (or by $setElementOrder) come in that order; items only the server has keep their own
order and are woven in before the first patch item that follows them in the stored list. Rules and messages follow
k8s.io/apimachinery/pkg/util/strategicpatch. No directive survives into the result.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from sampan.apimachinery.patch.errors import PatchError
from sampan.apimachinery.schema.compile import Schema

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"


def apply_strategic(doc: Any, patch: Any, schema: Schema | None) -> Any:
    """The document after the patch; neither argument changes. Raises PatchError."""
    if not isinstance(patch, dict):
        raise PatchError("invalid JSON document")
    return _merge_object(doc if isinstance(doc, dict) else {}, patch, schema)


def _merge_object(original: dict[str, Any], patch: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {key: _clean(value) for key, value in patch.items() if key != _PATCH and value is not None}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"unknown patch type found in map: '{directive}'")
    merged = _retained(original, patch)
    steered = False
    for key, value in patch.items():
        if key[:1] == "$" and (key in (_PATCH, _RETAIN) or key.startswith((_ORDER, _DELETE))):
            steered = True
            if key.startswith(_DELETE):
                _delete_scalars(merged, key[len(_DELETE):], value)
        elif isinstance(value, dict | list):
            child = schema.child(key) if schema is not None else None
            merged[key] = _merge_value(merged.get(key), value, child, patch.get(_ORDER + key))
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    if steered:
        _reorder_untouched(merged, patch, schema)
    return merged


def _merge_value(original: Any, value: Any, schema: Schema | None, order: Any) -> Any:
    strategy = schema.patch_strategy if schema is not None else ()
    if isinstance(value, dict):
        if "replace" in strategy:
            return _clean(value)
        return _merge_object(original if isinstance(original, dict) else {}, value, schema)
    if isinstance(value, list) and schema is not None and "merge" in strategy:
        return _merge_list(original if isinstance(original, list) else [], value, schema, order)
    return _clean(value)


def _retained(original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A copy of the original, less what `$retainKeys` lets go."""
    if _RETAIN not in patch:
        return dict(original)
    given = patch[_RETAIN]
    keys = {key for key in given if isinstance(key, str)} if isinstance(given, list) else set()
    if not isinstance(given, list) or any(
        key not in keys for key, value in patch.items() if not key.startswith("$") and value is not None
    ):
        raise PatchError("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in keys}


def _delete_scalars(merged: dict[str, Any], field: str, unwanted: Any) -> None:
    if not isinstance(unwanted, list):
        raise PatchError("invalid patch format of primitive list")
    if isinstance(merged.get(field), list):
        gone = {_identity(item, "") for item in unwanted}
        merged[field] = [item for item in merged[field] if _identity(item, "") not in gone]


def _reorder_untouched(merged: dict[str, Any], patch: dict[str, Any], schema: Schema | None) -> None:
    """`$setElementOrder` for a list that the patch orders but does not otherwise change."""
    for key, order in patch.items():
        if not key.startswith(_ORDER):
            continue
        field = key[len(_ORDER):]
        current = merged.get(field)
        if field not in patch and isinstance(current, list):
            child = schema.child(field) if schema is not None else None
            merge_key = child.merge_key if child is not None else ""
            merged[field] = _ordered(current, _order_list(order), current, merge_key)


def _merge_list(original: list[Any], patch: list[Any], schema: Schema, order: Any) -> list[Any]:
    if not any(isinstance(item, dict) for item in (*patch, *original)):
        merged = list(dict.fromkeys(_scalar(item) for item in (*original, *patch)))
        merge_key, ordering = "", patch
    else:
        merge_key = schema.merge_key
        if not merge_key:
            raise PatchError(f"cannot merge lists without merge key for {schema.go_type()}")
        if order is None and _same_items(original, patch, merge_key):
            return [_merge_object(before, item, schema.items) for before, item in zip(original, patch, strict=True)]
        remaining, plain = _apply_item_directives(original, patch, merge_key)
        merged, ordering = _merge_items(remaining, plain, schema), plain
    if order is not None:
        ordering = _checked_order(_order_list(order), ordering, merge_key)
    return _ordered(merged, ordering, original, merge_key)


def _same_items(original: list[Any], patch: list[Any], merge_key: str) -> bool:
    """Whether the patch names each item of the list once and in its order, as one who reports a status does."""
    if len(original) != len(patch):
        return False
    seen: set[str] = set()
    for before, item in zip(original, patch, strict=True):
        key = item.get(merge_key) if isinstance(item, dict) and _PATCH not in item else None
        if not isinstance(key, str) or key in seen or not isinstance(before, dict) or before.get(merge_key) != key:
            return False
        seen.add(key)
    return True


def _scalar(item: Any) -> Any:
    if isinstance(item, list):
        raise PatchError("lists of lists are not supported")
    return item


def _apply_item_directives(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[dict[str, Any]]]:
    """What is left of the original, and the patch's items without directives."""
    plain: list[dict[str, Any]] = []
    deleted: set[Any] = set()
    replaced = False
    for item in patch:
        if not isinstance(item, dict):
            raise PatchError("invalid JSON document")
        directive = item.get(_PATCH)
        if directive is None:
            plain.append(item)
        elif directive == "replace":
            replaced = True
            rest = {key: value for key, value in item.items() if key != _PATCH}
            plain += [rest] if rest else []
        elif directive == "delete":
            deleted.add(_key_of(item, merge_key))
        elif directive == "merge":
            plain.append({key: value for key, value in item.items() if key != _PATCH})
        else:
            raise PatchError(f"unknown patch type found in map: '{directive}'")
    if replaced:
        return [], plain
    return [item for item in original if not deleted or _identity(item, merge_key) not in deleted], plain


def _merge_items(original: list[Any], patch: list[dict[str, Any]], schema: Schema) -> list[Any]:
    merged = list(original)
    positions: dict[Any, int] = {}
    for position, found in enumerate(merged):
        if isinstance(found, dict) and schema.merge_key in found:
            positions.setdefault(_identity(found, schema.merge_key), position)
    for item in patch:
        key = _key_of(item, schema.merge_key)
        at = positions.get(key)
        if at is None:
            positions[key] = len(merged)
            merged.append(_merge_object({}, item, schema.items))
        else:
            merged[at] = _merge_object(merged[at], item, schema.items)
    return merged


def _key_of(item: dict[str, Any], merge_key: str) -> Any:
    value = item.get(merge_key)
    if value is None or isinstance(value, dict | list):
        shown = " ".join(f"{key}:{value}" for key, value in sorted(item.items()))
        raise PatchError(f"map: map[{shown}] does not contain declared merge key: {merge_key}")
    return value


def _order_list(order: Any) -> list[Any]:
    if not isinstance(order, list):
        raise PatchError("invalid patch format of setElementOrder list")
    return order


def _checked_order(order: list[Any], patch: list[Any], merge_key: str) -> list[Any]:
    """The order, if it names every item of the patch in the patch's own sequence."""
    places = _places(order, merge_key)
    ranks = [places.get(_identity(item, merge_key), -1) for item in patch]
    if any(rank < 0 for rank in ranks) or ranks != sorted(ranks):
        raise PatchError(f"The order in patch list:\n{patch}\n doesn't match setElementOrder list:\n{order}\n")
    return order


def _ordered(merged: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """Items named by `order` in its sequence, the others woven in by their place in the server's list."""
    ranked, stored = _places(order, merge_key), _places(server, merge_key)
    named = deque(sorted(
        (item for item in merged if _identity(item, merge_key) in ranked),
        key=lambda item: ranked[_identity(item, merge_key)],
    ))
    others = deque(item for item in merged if _identity(item, merge_key) not in ranked)
    result: list[Any] = []
    while named and others:
        left, right = stored.get(_identity(others[0], merge_key)), stored.get(_identity(named[0], merge_key))
        comes_first = left is not None and right is not None and left < right
        result.append(others.popleft() if comes_first else named.popleft())
    return [*result, *named, *others]


def _places(items: list[Any], merge_key: str) -> dict[Any, int]:
    """Where each identity stands first. Looking them up keeps a patch of many items from costing their square."""
    return {_identity(item, merge_key): place for place, item in reversed(list(enumerate(items)))}


def _identity(item: Any, merge_key: str) -> Any:
    """What an item is known by: its merge key's value, or the scalar itself."""
    value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
    return repr(value) if isinstance(value, dict | list) else value


def _clean(value: Any) -> Any:
    """A value taken over from the patch: without nulls in objects and without directives."""
    if isinstance(value, dict):
        return {
            key: _clean(item) if isinstance(item, dict | list) else item for key, item in value.items()
            if item is not None and (key[:1] != "$" or not (
                key in (_PATCH, _RETAIN) or key.startswith((_ORDER, _DELETE))
            ))
        }
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value

"""Cache and Lister: the local copy of a list, with indexes.

**Objects in a cache are shared by everyone in the process and must not be changed.** Whoever wants to change one copies
it first (`copy.deepcopy`, or a new dict for the parts it changes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, key_of, labels_of, namespace_of

IndexFunction: TypeAlias = Callable[[Object], Iterable[str]]
"""The index keys under which an object is found."""

Selector: TypeAlias = selectors.Selector | Callable[[Mapping[str, str]], bool] | Mapping[str, str]
"""A label selector, a predicate on labels, or labels that must all be there with these values."""

Objects: TypeAlias = list[Object]

NAMESPACE = "namespace"


class Cache:
    """Objects by `namespace/name`, and by every index. Only an informer writes to it."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}
        self.add_index(NAMESPACE, lambda obj: (namespace_of(obj),))

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Index everything by `function`. The same name twice replaces the index."""
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self.objects.items():
            self._enter(name, key, obj)

    def put(self, obj: Object) -> Object | None:
        """Store `obj`; what it replaced."""
        key = key_of(obj)
        old = self.objects.get(key)
        if old is None:
            for name in self._functions:
                self._enter(name, key, obj)
        else:
            self._move(key, old, obj)
        self.objects[key] = obj
        return old

    def remove(self, key: str) -> Object | None:
        """Forget an object; what it was."""
        old = self.objects.pop(key, None)
        if old is not None:
            for name in self._functions:
                self._leave(name, key, self._functions[name](old))
        return old

    def by_index(self, name: str, key: str) -> Objects:
        return [self.objects[found] for found in self._indexes[name].get(key, ())]

    def index_keys(self, name: str) -> list[str]:
        return list(self._indexes[name])

    def _move(self, key: str, old: Object, new: Object) -> None:
        """Most changes of an object change nothing of where it is found; its namespace is part of its key."""
        for name, function in self._functions.items():
            if name == NAMESPACE:
                continue
            before, after = tuple(function(old)), tuple(function(new))
            if before != after:
                self._leave(name, key, before)
                self._enter(name, key, new)

    def _enter(self, name: str, key: str, obj: Object) -> None:
        for index_key in self._functions[name](obj):
            self._indexes[name].setdefault(index_key, {})[key] = None

    def _leave(self, name: str, key: str, index_keys: Iterable[str]) -> None:
        index = self._indexes[name]
        for index_key in index_keys:
            if index_key in index:
                index[index_key].pop(key, None)
                if not index[index_key]:
                    del index[index_key]


class Lister:
    """Reads of a cache. What it returns is shared and must not be changed."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __len__(self) -> int:
        return len(self._cache.objects)

    def get(self, name: str, namespace: str = "") -> Object | None:
        """One object, or None."""
        return self._cache.objects.get(f"{namespace}/{name}" if namespace else name)

    def get_by_key(self, key: str) -> Object | None:
        """One object by its `namespace/name`, or None."""
        return self._cache.objects.get(key)

    def list(self, namespace: str | None = None, selector: Selector | None = None) -> Objects:
        """All objects, or those of a namespace, that match; in the order in which the cache learned of them."""
        found = self._cache.by_index(NAMESPACE, namespace) if namespace else list(self._cache.objects.values())
        if selector is None:
            return found
        if isinstance(selector, selectors.Selector):
            selector = selector.matches
        if callable(selector):
            return [obj for obj in found if selector(labels_of(obj))]
        wanted = selector.items()
        return [obj for obj in found if wanted <= labels_of(obj).items()]

    def by_index(self, index: str, key: str) -> Objects:
        """Objects for which the index function gave `key`. Raises KeyError for an unknown index."""
        return self._cache.by_index(index, key)

    def index_keys(self, index: str) -> Iterable[str]:
        """Every key that the index has an object for."""
        return self._cache.index_keys(index)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Add an index; replaces one of the same name."""
        self._cache.add_index(name, function)

"""The index of labels and fields says what looking at every object would say."""

import random

import orjson

from sampan.api.kinds import KINDS
from sampan.apiserver.registry.selection import select
from sampan.apiserver.registry.value_index import MAX_INDEXED
from sampan.apiserver.registry.watch_cache import WatchCache
from sampan.storage.store import Event, EventKind, KeyValue

CONFIG_MAPS = next(kind for kind in KINDS if kind.resource.plural == "configmaps")


def put(cache, namespace, name, labels, revision):
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    value = orjson.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})
    cache.apply(Event(EventKind.PUT, KeyValue(f"{cache.prefix}{namespace}/{name}", value, revision, revision), None))


def remove(cache, key, revision):
    cache.apply(Event(EventKind.DELETE, KeyValue(f"{cache.prefix}{key}", b"", 1, revision), None))


def found(cache, namespace, text):
    return [entry.key for entry in cache.select(select(CONFIG_MAPS, namespace, text, ""))]


def test_lists_by_label_follow_every_change():
    cache = WatchCache(CONFIG_MAPS, 10)
    cache.load([], 1)
    rng = random.Random(1)
    known = {}
    for revision in range(2, 800):
        namespace, name = rng.choice("ab"), f"n{rng.randrange(30)}"
        key = f"{namespace}/{name}"
        if key in known and rng.random() < 0.4:
            remove(cache, key, revision)
            del known[key]
        else:
            known[key] = {label: rng.choice("xyz") for label in ("app", "tier") if rng.random() < 0.7}
            put(cache, namespace, name, known[key], revision)
        value = rng.choice("xyz")
        assert found(cache, "", f"app={value}") == sorted(k for k in known if known[k].get("app") == value)
        assert found(cache, "a", f"tier in ({value}),app!=x") == sorted(
            k for k in known if k[0] == "a" and known[k].get("tier") == value and known[k].get("app") != "x"
        )


def test_any_number_of_labels_may_be_asked_for():
    cache = WatchCache(CONFIG_MAPS, 10)
    cache.load([], 1)
    labels = {f"label{number}": "v" for number in range(MAX_INDEXED * 2)}
    put(cache, "a", "n", labels, 2)
    assert all(found(cache, "", f"{label}=v") == ["a/n"] for label in labels)

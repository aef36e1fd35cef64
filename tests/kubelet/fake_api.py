"""An API server in a dictionary: enough of list, watch, create, update, patch and delete for a kubelet."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import orjson

from sampan import effects
from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.client.client import Client

Object = dict[str, Any]

KINDS = {
    "pods": "Pod", "nodes": "Node", "events": "Event", "services": "Service", "configmaps": "ConfigMap",
    "secrets": "Secret", "leases": "Lease", "serviceaccounts": "ServiceAccount",
    "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume",
    "runtimeclasses": "RuntimeClass",
}
CLUSTER_SCOPED = ("nodes", "persistentvolumes", "runtimeclasses")
GRACEFUL = {"pods"}


class FakeAPI:
    """`objects[plural][(namespace, name)]`; every change is kept as an event for watches."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[tuple[str, str], Object]] = {plural: {} for plural in KINDS}
        self.log: list[tuple[int, str, str, Object]] = []
        self.version = 0
        self.changed = asyncio.Event()
        self.tokens = 0
        self.away = False
        self.writes: list[tuple[str, str, Object]] = []

    def client(self) -> Client:
        return Client(self)  # type: ignore[arg-type]

    async def close(self) -> None:
        return None

    def put(self, plural: str, obj: Object) -> Object:
        """Write an object as an administrator."""
        meta = obj.setdefault("metadata", {})
        meta.setdefault("uid", effects.uid())
        meta.setdefault("namespace", "default") if plural not in CLUSTER_SCOPED else None
        meta.setdefault("generation", 1)
        meta.setdefault("creationTimestamp", effects.timestamp())
        key = (meta.get("namespace", ""), meta["name"])
        event = "MODIFIED" if key in self.objects[plural] else "ADDED"
        return self._store(plural, key, obj, event)

    def get(self, plural: str, name: str, namespace: str = "default") -> Object | None:
        return self.objects[plural].get((namespace, name))

    def remove(self, plural: str, name: str, namespace: str = "default", grace_s: int | None = None) -> None:
        """Delete; a pod that is bound gets its grace period first."""
        key = (namespace, name)
        obj = self.objects[plural][key]
        if plural in GRACEFUL and grace_s != 0:
            obj = copy.deepcopy(obj)
            obj["metadata"].setdefault("deletionTimestamp", effects.timestamp())
            wanted = obj["spec"].get("terminationGracePeriodSeconds", 30) if grace_s is None else grace_s
            obj["metadata"]["deletionGracePeriodSeconds"] = wanted
            self._store(plural, key, obj, "MODIFIED")
            return
        gone = copy.deepcopy(self.objects[plural].pop(key))
        if plural in GRACEFUL:
            gone["metadata"].setdefault("deletionTimestamp", effects.timestamp())
            gone["metadata"]["deletionGracePeriodSeconds"] = 0
        self._emit(plural, gone, "DELETED")

    def _store(self, plural: str, key: tuple[str, str], obj: Object, event: str) -> Object:
        obj = copy.deepcopy(obj)
        obj.setdefault("apiVersion", "v1")
        obj.setdefault("kind", KINDS[plural])
        self._emit(plural, obj, event)
        self.objects[plural][key] = obj
        return obj

    def _emit(self, plural: str, obj: Object, event: str) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((self.version, plural, event, copy.deepcopy(obj)))
        self.changed.set()
        self.changed = asyncio.Event()

    async def request(self, request: Request) -> Response:
        """One request, as a Transport carries it."""
        if self.away:
            raise errors.ServiceUnavailable("connection refused")
        try:
            return self._answer(request)
        except errors.APIError as error:
            return Response(error.status_code, {}, orjson.dumps(error.to_status()))

    def _answer(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name, sub = parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""
        body = orjson.loads(request.body) if request.body else {}
        if request.method == "GET" and not name:
            return self._collection(plural, namespace, request)
        if request.method == "POST":
            return _json(self._create(plural, namespace, name, sub, body))
        found = self.objects[plural].get((namespace, name))
        if found is None:
            raise errors.NotFound(f'{plural} "{name}" not found')
        if request.method == "GET":
            return _json(found)
        if request.method == "PUT":
            return _json(self._store(plural, (namespace, name), {**found, **body}, "MODIFIED"))
        if request.method == "PATCH":
            return _json(self._patch(plural, (namespace, name), found, body))
        self._delete(plural, namespace, name, found, body)
        return _json(found)

    def _collection(self, plural: str, namespace: str, request: Request) -> Response:
        selector = request.param("fieldSelector")
        if request.param("watch"):
            after = int(request.param("resourceVersion") or 0)
            return Response(200, {}, b"", self._watch(plural, namespace, selector, after))
        items = [
            item for (space, _), item in self.objects[plural].items()
            if namespace in ("", space) and _matches(item, selector)
        ]
        return _json({"kind": "List", "items": items, "metadata": {"resourceVersion": str(self.version)}})

    async def _watch(self, plural: str, namespace: str, selector: str, after: int) -> AsyncIterator[bytes]:
        while not self.away:
            changed = self.changed
            for version, kind, event, obj in list(self.log):
                space = obj["metadata"].get("namespace", "")
                if version > after and kind == plural and namespace in ("", space):
                    after = version
                    if _matches(obj, selector):
                        yield orjson.dumps({"type": event, "object": obj}) + b"\n"
            await changed.wait()

    def _create(self, plural: str, namespace: str, name: str, sub: str, body: Object) -> Object:
        if sub == "token":
            self.tokens += 1
            expires = effects.now().timestamp() + body["spec"]["expirationSeconds"]
            from datetime import UTC, datetime

            text = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return {**body, "status": {"token": f"token-{self.tokens}", "expirationTimestamp": text}}
        name = body["metadata"]["name"]
        if (namespace, name) in self.objects[plural]:
            raise errors.AlreadyExists(f'{plural} "{name}" already exists')
        if namespace:
            body["metadata"]["namespace"] = namespace
        body["metadata"].pop("uid", None)
        return self.put(plural, body)

    def _patch(self, plural: str, key: tuple[str, str], found: Object, body: Object) -> Object:
        uid = (body.get("metadata") or {}).get("uid")
        if uid and uid != found["metadata"]["uid"]:
            raise errors.Conflict("uid does not match")
        self.writes.append((plural, key[1], copy.deepcopy(body)))
        return self._store(plural, key, _merge(found, body), "MODIFIED")

    def _delete(self, plural: str, namespace: str, name: str, found: Object, body: Object) -> None:
        uid = (body.get("preconditions") or {}).get("uid")
        if uid and uid != found["metadata"]["uid"]:
            raise errors.Conflict("uid does not match")
        self.remove(plural, name, namespace, body.get("gracePeriodSeconds", 0))

    def events(self, reason: str = "") -> list[str]:
        """Messages of the events with this reason, or `reason: message` of all."""
        found = [item for item in self.objects["events"].values() if not reason or item["reason"] == reason]
        return [item["message"] if reason else f"{item['reason']}: {item['message']}" for item in found]


def _merge(old: Any, patch: Any) -> Any:
    """A strategic merge that knows the lists a kubelet patches."""
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return copy.deepcopy(patch)
    result = dict(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key == "conditions" and isinstance(result.get(key), list):
            gone = {item["type"] for item in value if item.get("$patch") == "delete"}
            value = [item for item in value if item["type"] not in gone]
            merged = {item["type"]: item for item in result[key] if item["type"] not in gone}
            for item in value:
                merged[item["type"]] = _merge(merged.get(item["type"], {}), item)
            result[key] = list(merged.values())
        elif key in ("podIPs", "hostIPs"):
            kept = {item["ip"]: item for item in result.get(key) or []}
            for item in value:
                if item.get("$patch") == "delete":
                    kept.pop(item["ip"], None)
                else:
                    kept[item["ip"]] = item
            result[key] = list(kept.values())
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _matches(obj: Object, selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        path, _, wanted = part.partition("=")
        value: Any = obj
        for step in path.split("."):
            value = (value or {}).get(step)
        if str(value or "") != wanted:
            return False
    return True


def _json(document: Object) -> Response:
    return Response(200, {}, orjson.dumps(document))

"""StorageVersionMigrations: whose turn it is, what a definition says meanwhile, and how a migration ends."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, STORAGE_VERSION_MIGRATIONS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.resource import Resource
from sampan.controllers import times
from sampan.controllers.objects import storage_version_migrator
from sampan.controllers.objects.storage_version_migrator import StorageVersionMigrator, begin, end, is_its_turn
from sampan.reconcile.plan import NOTHING, Patch, Plan, Update
from sampan.sim.loop import run

WIDGETS = Resource("example.com", "v2", "widgets", "Widget")


def migration(name: str = "m", *conditions: str, created: str = "2026-01-02T03:00:00Z", **resource: str) -> Object:
    """`conditions`: those that are true."""
    found = [{"type": one, "status": "True"} for one in conditions]
    return {"metadata": {"name": name, "creationTimestamp": created, "uid": name},
            "spec": {"resource": resource or {"group": "example.com", "resource": "widgets"}},
            "status": {"conditions": found} if found else {}}


def definition(generation: int = 1, observed: int | None = None) -> Object:
    versions = [{"name": "v1", "storage": False}, {"name": "v2", "storage": True}]
    told = {"type": "StorageMigrating", "status": "True", "observedGeneration": observed, "reason": "MigrationRunning"}
    return {
        "metadata": {"name": "widgets.example.com", "generation": generation, "resourceVersion": "7"},
        "spec": {"versions": versions},
        "status": {"storedVersions": ["v1", "v2"], "conditions": [
            {"type": "Established", "status": "True"}, *([told] if observed is not None else [])]},
    }


@pytest.mark.parametrize(("others", "turn"), [
    ([], True), ([migration("other", "Running")], False), ([migration("other", "Succeeded")], True),
    ([migration("other", "Failed")], True), ([migration("other", "Running", resource="pods")], True),
    ([migration("other", created="2026-01-02T02:00:00Z")], False),
    ([migration("other", created="2026-01-02T04:00:00Z")], True),
    ([migration("a")], False), ([migration("z")], True),
])
def test_of_several_migrations_of_a_resource_the_oldest_runs(others: list[Object], turn: bool) -> None:
    own = migration("m")
    assert is_its_turn(own, [own, *others]) == turn


def test_a_definition_says_that_a_migration_runs(make) -> None:  # type: ignore[no-untyped-def]
    patch, update = begin(migration(), definition(), make.now).steps
    assert isinstance(patch, Patch) and patch.subresource == "status" and isinstance(update, Update)
    established, told = patch.patch["status"]["conditions"]
    assert established["type"] == "Established" and "storedVersions" not in patch.patch["status"]
    assert (told["status"], told["reason"], told["message"], told["observedGeneration"]) == (
        "True", "MigrationRunning", "Migration m is running", 1)
    assert patch.patch["metadata"] == {"resourceVersion": "7"}  # nobody else's condition is lost
    [running] = update.obj["status"]["conditions"]
    assert (running["type"], running["reason"], running["message"]) == (
        "Running", "MigrationRunning", "The migration is running")
    assert len(begin(migration(), None, make.now).steps) == 1


@pytest.mark.parametrize(("found", "succeeded", "reason", "message", "stored"), [
    (definition(1, 1), True, "MigrationSucceeded",
     "The migration has succeeded and the stored versions have been updated", ["v2"]),
    (definition(2, 1), True, "MigrationSucceeded",
     "The migration has succeeded but the stored versions have not been updated due to a generation mismatch", None),
    (definition(1), True, "MigrationSucceeded",
     "The migration has succeeded but the stored versions have not been updated due to a generation mismatch", None),
    (definition(1, 1), False, "MigrationFailed", "The migration has failed", None),
])
def test_only_when_all_is_written_are_other_stored_versions_forgotten(  # type: ignore[no-untyped-def]
    make, found: Object, succeeded: bool, reason: str, message: str, stored: list[str] | None
) -> None:
    status = end(found, succeeded=succeeded, now=make.now).patch["status"]
    told = status["conditions"][-1]
    assert (told["type"], told["status"], told["reason"], told["message"]) == (
        "StorageMigrating", "False", reason, message)
    assert status.get("storedVersions") == stored


class Server:
    """Two ConfigMaps that are patched, or not."""

    def __init__(self, failures: dict[str, errors.APIError]) -> None:
        self.failures, self.patched = failures, list[str]()

    async def list(self, resource: Resource, **_: Any) -> Object:
        items = [{"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"}} for name in "ab"]
        return {"metadata": {"resourceVersion": "9"}, "items": items}

    async def patch(self, resource: Resource, name: str, patch: Object, namespace: str, *, type: str) -> Object:
        if name in self.failures:
            raise self.failures[name]
        self.patched.append(name)
        return {}


def look(server: Server, found: Object | None, served: bool, monkeypatch: pytest.MonkeyPatch) -> Plan:
    discovery = SimpleNamespace(with_verbs=lambda *verbs: [CONFIG_MAPS] if served else [])

    async def discover(client: object) -> object:
        return discovery

    monkeypatch.setattr(storage_version_migrator, "discover", discover)
    copies = SimpleNamespace(get_by_key=lambda key: found, list=lambda: [found] if found else [])
    wiring = SimpleNamespace(client=server, watch=lambda resource, keys: copies)
    return run(StorageVersionMigrator(wiring).reconcile("m"))  # type: ignore[arg-type]


def core(*conditions: str, created: str = "2026-01-02T03:00:00Z") -> Object:
    return migration("m", *conditions, created=created, group="", resource="configmaps")


@pytest.mark.parametrize(("failures", "patched", "result", "message"), [
    ({}, ["a", "b"], "Succeeded", ""),
    ({"a": errors.Conflict("written meanwhile")}, ["b"], "Succeeded", ""),
    ({"b": errors.NotFound("gone")}, ["a"], "Succeeded", ""),
    ({"a": errors.Forbidden("no")}, [], "Failed", "migration encountered unhandled error: no"),
    ({"b": errors.Invalid("bad")}, ["a"], "Failed", "migration encountered unhandled error: bad"),
])
def test_how_a_migration_ends(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, errors.APIError], patched: list[str], result: str, message: str
) -> None:
    server = Server(failures)
    [update] = look(server, core("Running"), True, monkeypatch).steps
    assert isinstance(update, Update) and server.patched == patched
    shown = {one["type"]: (one["status"], one.get("reason"), one.get("message"))
             for one in update.obj["status"]["conditions"]}
    assert shown == {
        "Running": ("False", "MigrationCompleted", ""), result: ("True", f"StorageVersionMigration{result}", message)}
    assert update.obj["status"].get("resourceVersion") == ("9" if result == "Succeeded" else None)


@pytest.mark.parametrize("failure", [
    errors.TooManyRequests("later"), errors.ServiceUnavailable("later"), errors.Timeout("later"),
    errors.InternalError("later"),
])
def test_what_may_succeed_later_is_tried_again(monkeypatch: pytest.MonkeyPatch, failure: errors.APIError) -> None:
    with pytest.raises(type(failure)):
        look(Server({"b": failure}), core("Running"), True, monkeypatch)


def test_what_is_over_or_gone_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (None, core("Succeeded"), core("Failed")):
        assert look(Server({}), found, True, monkeypatch) == NOTHING


def test_a_resource_may_be_missing_for_a_minute(  # type: ignore[no-untyped-def]
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_version_migrator.effects, "now", lambda: make.now)
    young, old = (times.text(make.now - timedelta(seconds=age)) for age in (59, 60))
    assert look(Server({}), core("Running", created=young), False, monkeypatch).requeue_after_s
    [update] = look(Server({}), core("Running", created=old), False, monkeypatch).steps
    assert isinstance(update, Update)
    assert update.obj["status"]["conditions"][-1]["message"] == (
        "migration encountered unhandled error: unable to obtain GVR from discovery")


def test_an_old_version_can_be_taken_out_of_a_definition_after_a_migration() -> None:
    async def scenario(lab: Lab) -> None:
        client = lab.client
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}

        def versions(stored: str, *names: str) -> list[Object]:
            return [{"name": name, "served": True, "storage": name == stored, "schema": schema} for name in names]

        await client.create(CUSTOM_RESOURCE_DEFINITIONS, {
            "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version, "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
            "metadata": {"name": "widgets.example.com"}, "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": versions("v1", "v1", "v2")},
        })

        async def found() -> Object:
            return await client.get(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com")

        async def established() -> bool:
            told = dig(await found(), "status", "conditions", default=())
            return any(one["type"] == "Established" and one["status"] == "True" for one in told)

        async def change(stored: str, *names: str) -> None:
            changed = await found()
            changed["spec"]["versions"] = versions(stored, *names)
            await client.update(CUSTOM_RESOURCE_DEFINITIONS, changed)

        await lab.until(established)
        await lab.create(WIDGETS, "old", spec={"size": 1})
        await lab.patch(WIDGETS, "old")
        written = await lab.get(WIDGETS, "old")
        await change("v2", "v1", "v2")
        assert (await found())["status"]["storedVersions"] == ["v1", "v2"]
        with pytest.raises(errors.Invalid):
            await change("v2", "v2")
        for name in ("first", "second"):
            await client.create(STORAGE_VERSION_MIGRATIONS, {
                "apiVersion": STORAGE_VERSION_MIGRATIONS.api_version, "kind": STORAGE_VERSION_MIGRATIONS.kind,
                "metadata": {"name": name}, "spec": {"resource": {"group": "example.com", "resource": "widgets"}}})

        async def over() -> bool:
            items = (await client.list(STORAGE_VERSION_MIGRATIONS))["items"]
            return sorted(map(name_of, items)) == ["first", "second"] and all(
                any(one["type"] == "Succeeded" for one in dig(item, "status", "conditions", default=()))
                for item in items)

        await lab.until(over)
        status = (await found())["status"]
        assert status["storedVersions"] == ["v2"]
        told = next(one for one in status["conditions"] if one["type"] == "StorageMigrating")
        assert (told["status"], told["reason"]) == ("False", "MigrationSucceeded")
        found_after = await lab.get(WIDGETS, "old")
        assert found_after["spec"] == {"size": 1}
        assert found_after["metadata"]["resourceVersion"] != written["metadata"]["resourceVersion"]  # by the first
        await lab.patch(WIDGETS, "old")
        assert await lab.get(WIDGETS, "old") == found_after  # and now there is nothing to do
        await change("v2", "v2")
        assert await lab.get(WIDGETS, "old") == found_after

    on_a_cluster(scenario, nodes=0)

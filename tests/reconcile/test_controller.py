"""The controller against a real API server in the same process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.meanwhile import meanwhile

from sampan.api.resources import CONFIG_MAPS, CORE_EVENTS
from sampan.apimachinery import errors
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, name_of
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.client.informer import InformerFactory
from sampan.reconcile.controller import Controller, Wiring
from sampan.reconcile.manager import Manager
from sampan.reconcile.plan import (
    NOTHING,
    Account,
    Create,
    Delete,
    End,
    Note,
    Outcome,
    Parallel,
    Patch,
    Plan,
    Step,
    Update,
    Verify,
)
from sampan.storage.memory import MemoryStore


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    store = MemoryStore()
    server = APIServer(store, APIServerConfig(authorization=False))
    await server.start()
    yield Client(server.transport(UserInfo("admin", groups=("system:masters",))))
    await server.stop()
    await store.close()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            answer = condition()
            if answer is True or (not isinstance(answer, bool) and await answer):
                return
            await asyncio.sleep(0.005)


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


class Scripted:
    """Answers each reconcile with the next plan, if its key is `default/go`."""

    def __init__(self, *plans: Plan | Exception) -> None:
        self.plans = list(plans)
        self.calls: list[str] = []

    def __call__(self, wiring: Wiring) -> Scripted:
        self.lister = wiring.watch(CONFIG_MAPS)
        return self

    async def reconcile(self, key: str) -> Plan:
        self.calls.append(key)
        if key != "default/go" or not self.plans:
            return NOTHING
        plan = self.plans.pop(0)
        if isinstance(plan, Exception):
            raise plan
        return plan


@pytest.fixture
async def start(client: Client) -> AsyncIterator[Callable[..., Awaitable[Controller]]]:
    async with contextlib.AsyncExitStack() as running:
        async def begin(script: Scripted) -> Controller:
            factory = InformerFactory(client)
            controller = Controller("test", script, client, factory)
            await running.enter_async_context(meanwhile(Manager(factory, [controller]).run()))
            await client.create(CONFIG_MAPS, config_map("go"))
            return controller

        yield begin


async def data_of(client: Client, name: str) -> dict[str, str]:
    return (await client.get(CONFIG_MAPS, name, "default")).get("data") or {}


async def exists(client: Client, name: str) -> bool:
    try:
        await client.get(CONFIG_MAPS, name, "default")
    except errors.NotFound:
        return False
    return True


async def test_steps_are_done_in_order_and_events_recorded(client: Client, start) -> None:
    about = config_map("go")
    await start(Scripted(Plan((
        Create(CONFIG_MAPS, config_map("a", x="1"), created=Note(about, "Normal", "Made", "Created: {name}")),
        Patch(CONFIG_MAPS, "a", "default", {"data": {"y": "2"}}, "merge"),
        Create(CONFIG_MAPS, config_map("b")),
        Delete(CONFIG_MAPS, "b", "default"),
    ))))

    async def done() -> bool:
        return await exists(client, "a") and await data_of(client, "a") == {"x": "1", "y": "2"}

    await until(done)

    async def recorded() -> bool:
        events = (await client.list(CORE_EVENTS, "default"))["items"]
        return [event["message"] for event in events if event["reason"] == "Made"] == ["Created: a"]

    await until(recorded)
    assert not await exists(client, "b")


async def test_a_failed_step_ends_the_plan_and_the_key_comes_back(client: Client, start) -> None:
    outcomes: list[Outcome] = []

    def finish(outcome: Outcome) -> tuple[Step, ...]:
        outcomes.append(outcome)
        return ()

    bad = Patch(CONFIG_MAPS, "missing", "default", {}, "merge")
    script = Scripted(
        Plan((bad, Create(CONFIG_MAPS, config_map("never"))), finally_=finish),
        Plan((Create(CONFIG_MAPS, config_map("later")),)),
    )
    await start(script)
    await until(lambda: exists(client, "later"))
    assert not await exists(client, "never")
    assert isinstance(outcomes[0].error, errors.NotFound)
    assert outcomes[0].failed is bad


async def test_a_crash_of_one_key_is_survived(client: Client, start) -> None:
    controller = await start(Scripted(ZeroDivisionError(), Plan((Create(CONFIG_MAPS, config_map("later")),))))
    await until(lambda: exists(client, "later"))
    assert controller.counts.crashes == 1


async def test_what_is_gone_already_is_deleted(client: Client, start) -> None:
    script = Scripted(Plan((Delete(CONFIG_MAPS, "missing", "default"), Create(CONFIG_MAPS, config_map("after")))))
    controller = await start(script)
    await until(lambda: exists(client, "after"))
    assert controller.counts.failures == 0


async def test_another_object_of_the_name_is_not_deleted(client: Client, start) -> None:
    await client.create(CONFIG_MAPS, config_map("a"))
    await start(Scripted(Plan((
        Delete(CONFIG_MAPS, "a", "default", uid="00000000-0000-0000-0000-000000000000"),
        Create(CONFIG_MAPS, config_map("after")),
    ))))
    await until(lambda: exists(client, "after"))
    assert await exists(client, "a")


async def test_on_exists_decides_what_happens_to_a_taken_name(client: Client, start) -> None:
    await client.create(CONFIG_MAPS, config_map("taken", x="old"))

    def take(existing: Object) -> tuple[Step, ...]:
        return Update(CONFIG_MAPS, {**existing, "data": {"x": "new"}}), End()

    await start(Scripted(
        Plan((Create(CONFIG_MAPS, config_map("taken"), on_exists=take), Create(CONFIG_MAPS, config_map("never"))))
    ))

    async def taken() -> bool:
        return await data_of(client, "taken") == {"x": "new"}

    await until(taken)
    assert not await exists(client, "never")


async def test_verify_ends_a_plan_whose_owner_is_another_by_now(client: Client, start) -> None:
    await client.create(CONFIG_MAPS, config_map("owner"))
    script = Scripted(
        Plan((Verify(CONFIG_MAPS, "owner", "default", "other-uid"), Create(CONFIG_MAPS, config_map("never")))),
    )
    await start(script)
    await until(lambda: not script.plans)
    assert not await exists(client, "never")


async def test_slow_start_stops_at_the_first_failing_batch(client: Client, start) -> None:
    counts: list[int] = []

    def finish(outcome: Outcome) -> tuple[Step, ...]:
        counts.append(outcome.created)
        return ()

    good = [Create(CONFIG_MAPS, config_map(f"good-{number}")) for number in range(3)]
    bad = [Create(CONFIG_MAPS, config_map(f"Bad_{number}")) for number in range(20)]
    await start(Scripted(Plan((Parallel((*good, *bad), slow_start=True),), finally_=finish)))
    await until(lambda: bool(counts))
    assert counts == [3]


async def test_a_key_rests_until_its_own_writes_are_seen(client: Client, start) -> None:
    """Every reconcile creates the next one of a row; none is made twice and none acted upon unseen."""

    class Row(Scripted):
        async def reconcile(self, key: str) -> Plan:
            if key != "default/go":
                return NOTHING
            seen = [name_of(one) for one in self.lister.list("default") if name_of(one).startswith("row")]
            self.calls.append(key)
            if len(seen) == 10:
                return NOTHING
            return Plan((Create(CONFIG_MAPS, config_map(f"row-{len(seen)}")),))

    script = Row()
    controller = await start(script)

    async def complete() -> bool:
        return await exists(client, "row-9")

    await until(complete)
    assert controller.counts.conflicts == controller.counts.failures == 0


async def test_the_manager_starts_a_crashed_controller_again(client: Client) -> None:
    attempts: list[int] = []

    def build(wiring: Wiring) -> Scripted:
        attempts.append(1)
        if len(attempts) < 3:
            raise RuntimeError("cannot be built yet")
        return Scripted()(wiring)

    factory = InformerFactory(client)
    manager = Manager(factory, [Controller("test", build, client, factory)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sampan.client.backoff.Backoff.next", lambda self: 0.001)
        async with meanwhile(manager.run()):
            await until(lambda: len(attempts) == 3)
    assert manager.crashes == {"test": 2}


class Picky(Scripted):
    """Looks at nothing but the field `a`."""

    def __call__(self, wiring: Wiring) -> Scripted:
        self.lister = wiring.watch(CONFIG_MAPS, facts=lambda obj: (obj.get("data") or {}).get("a"))
        return self


async def test_a_change_of_what_does_not_matter_queues_nothing(client: Client, start) -> None:
    script = Picky()
    await start(script)
    await until(lambda: script.calls.count("default/go") == 1)
    await client.patch(CONFIG_MAPS, "go", {"data": {"b": "2"}}, "default", type="merge")
    await client.patch(CONFIG_MAPS, "go", {"data": {"a": "2"}}, "default", type="merge")
    await until(lambda: script.calls.count("default/go") == 2)
    await until(lambda: script.lister.get("go", "default")["data"] == {"a": "2", "b": "2"})
    assert script.calls.count("default/go") == 2


async def test_whoever_counts_is_told_what_was_done_and_what_was_refused(client: Client, start) -> None:
    accounts: list[Account] = []
    good, bad = Create(CONFIG_MAPS, config_map("a")), Patch(CONFIG_MAPS, "missing", "default", {}, "merge")
    last = Create(CONFIG_MAPS, config_map("b"))
    script = Scripted(Plan((good, bad), finally_=lambda outcome: (last,), tell=accounts.append))
    await start(script)
    await until(lambda: bool(accounts))
    [account] = accounts
    assert (account.done, account.refused) == ((good, last), (bad,)) and isinstance(account.error, errors.NotFound)


async def test_what_follows_a_creation_and_fails_does_not_make_it_a_failed_one(client: Client, start) -> None:
    about = config_map("go")
    accounts: list[Account] = []
    bad = Patch(CONFIG_MAPS, "missing", "default", {}, "merge", failed=Note(about, "Warning", "BadPatch", "{error}"))
    made = Create(
        CONFIG_MAPS, config_map("a"), then=lambda answer: (bad,), failed=Note(about, "Warning", "BadCreate", "{error}"),
    )
    await start(Scripted(Plan((made,), tell=accounts.append)))

    async def reasons() -> set[str]:
        return {event["reason"] for event in (await client.list(CORE_EVENTS, "default"))["items"]}

    async def is_told() -> bool:
        return "BadPatch" in await reasons()

    await until(is_told)
    assert "BadCreate" not in await reasons()
    assert (accounts[0].done, accounts[0].refused) == ((made,), (bad,))

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.meanwhile import meanwhile

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import name_of
from sampan.client import reflector
from sampan.client.client import Client, WatchEvent
from sampan.client.informer import Informer, InformerFactory
from sampan.client.reflector import Reflector


@pytest.fixture
async def factory(server, monkeypatch) -> AsyncIterator[InformerFactory]:
    monkeypatch.setattr("sampan.client.backoff.Backoff.next", lambda self: 0.001)
    async with InformerFactory(Client(server)) as running:
        yield running


class Log:
    """Every call of a handler."""

    def __init__(self, informer: Informer) -> None:
        self.calls: list[str] = []
        informer.add_handler(
            lambda obj: self.calls.append(f"+{name_of(obj)}"),
            lambda old, new: self.calls.append(f"~{name_of(new)}"),
            lambda obj: self.calls.append(f"-{name_of(obj)}"),
        )


async def test_it_lists_then_follows_changes(server, factory, until) -> None:
    server.put("a")
    informer = factory.informer(PODS)
    log = Log(informer)
    await factory.wait_synced()
    await until(lambda: bool(server.watchers))
    server.put("b")
    server.put("a", spec={"x": 1})
    server.remove("b")
    await until(lambda: len(log.calls) == 4)
    assert log.calls == ["+a", "+b", "~a", "-b"]
    assert informer.lister.get("a", "default")["spec"] == {"x": 1}
    assert informer.lister.get("b", "default") is None
    assert server.requests[0].param("resourceVersion") == ""


class Names:
    """A sink that wants names only."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def replace(self, items: list[str]) -> None:
        self.names = list(items)

    def apply(self, event: WatchEvent) -> None:
        self.names.append(name_of(event.object))


async def test_a_long_list_comes_in_pages_and_only_what_is_wanted_of_it_is_kept(server, until) -> None:
    for number in range(7):
        server.put(f"p{number}")
    sink = Names()
    async with meanwhile(Reflector(Client(server), PODS, sink, page_size=3, reduce=name_of).run()):
        await until(lambda: bool(server.watchers))
        assert sink.names == [f"p{number}" for number in range(7)]
        assert [request.param("continue") for request in server.requests[:3]] == ["", "3", "6"]
        assert server.requests[3].param("resourceVersion") == str(server.revision)
        server.put("late")
        await until(lambda: sink.names[-1] == "late")


async def test_list_items_get_the_kind_that_servers_leave_out(server, factory) -> None:
    server.put("a")
    informer = factory.informer(PODS)
    await factory.wait_synced()
    assert informer.lister.list()[0]["kind"] == "Pod"
    assert informer.lister.list()[0]["apiVersion"] == "v1"


async def test_a_late_handler_is_given_what_is_there(server, factory) -> None:
    server.put("a")
    informer = factory.informer(PODS)
    await factory.wait_synced()
    assert Log(informer).calls == ["+a"]


async def test_a_broken_watch_loses_and_repeats_nothing(server, factory, until) -> None:
    informer = factory.informer(PODS)
    log = Log(informer)
    await factory.wait_synced()
    await until(lambda: bool(server.watchers))
    server.put("a")
    server.break_watches(errors.ServiceUnavailable("gone"))
    server.put("b")
    await until(lambda: len(server.watchers) == 1)
    server.put("c")
    await until(lambda: "+c" in log.calls)
    assert log.calls == ["+a", "+b", "+c"]
    assert informer.reflector.lists == 1


async def test_a_repeated_event_is_dropped(server, factory, until) -> None:
    informer = factory.informer(PODS)
    log = Log(informer)
    await factory.wait_synced()
    await until(lambda: bool(server.watchers))
    server.put("a")
    server.remove("a")
    for revision, kind, obj in list(server.history):
        server.revision = revision
        server._publish(kind, obj)
    server.revision = 20
    server.put("b")
    await until(lambda: "+b" in log.calls)
    assert log.calls == ["+a", "-a", "+b"]


async def test_an_expired_watch_lists_again_and_reports_what_vanished(server, factory, until) -> None:
    server.put("a")
    server.put("b")
    informer = factory.informer(PODS)
    log = Log(informer)
    await factory.wait_synced()
    await until(lambda: bool(server.watchers))
    watchers, server.watchers = server.watchers, []
    server.remove("a")
    server.put("b", spec={})
    server.put("c")
    server.forget_history()
    server.watchers = watchers
    server.break_watches()
    await until(lambda: informer.reflector.lists == 2)
    await until(lambda: len(log.calls) == 5)
    assert log.calls == ["+a", "+b", "~b", "+c", "-a"]


async def test_another_object_under_the_same_name_is_a_deletion_and_an_addition(server, factory, until) -> None:
    server.put("a")
    informer = factory.informer(PODS)
    log = Log(informer)
    await factory.wait_synced()
    server.put("a", uid="other")
    await until(lambda: len(log.calls) == 3)
    assert log.calls == ["+a", "-a", "+a"]


async def test_bookmarks_move_the_version_on(server, factory, until) -> None:
    informer = factory.informer(PODS)
    await factory.wait_synced()
    await until(lambda: bool(server.watchers))
    server.revision = 99
    server.bookmark()
    await until(lambda: informer.reflector.resource_version == "99")


async def test_a_failing_list_is_tried_again(server, factory, until) -> None:
    server.fail(errors.ServiceUnavailable("down"), errors.InternalError("oops"), errors.TooManyRequests("slow down"))
    informer = factory.informer(PODS)
    await factory.wait_synced()
    assert informer.reflector.errors == 3


async def test_an_answer_that_makes_no_sense_is_tried_again(server, factory, until) -> None:
    server.fail(ValueError("no JSON"))
    informer = factory.informer(PODS)
    await factory.wait_synced()
    await until(lambda: bool(server.watchers))
    server.break_watches(KeyError("object"))
    server.put("a")
    await until(lambda: informer.lister.get("a", "default") is not None)
    assert informer.reflector.errors == 2


async def test_a_failing_handler_does_not_stop_the_others(server, factory, until) -> None:
    informer = factory.informer(PODS)
    informer.add_handler(lambda obj: 1 / 0)  # type: ignore[arg-type, return-value]
    log = Log(informer)
    server.put("a")
    await until(lambda: log.calls == ["+a"])
    assert informer.handler_errors == 1


async def test_indexes_follow_changes(server, factory, until) -> None:
    informer = factory.informer(PODS)
    informer.lister.add_index("node", lambda pod: [pod.get("spec", {}).get("nodeName", "")])
    server.put("a", spec={"nodeName": "n1"})
    server.put("b", spec={"nodeName": "n1"})
    await factory.wait_synced()
    await until(lambda: len(informer.lister.by_index("node", "n1")) == 2)
    server.put("a", spec={"nodeName": "n2"})
    await until(lambda: len(informer.lister.by_index("node", "n2")) == 1)
    assert [name_of(pod) for pod in informer.lister.by_index("node", "n1")] == ["b"]
    server.remove("b")
    await until(lambda: informer.lister.index_keys("node") == ["n2"])


async def test_the_same_question_shares_an_informer(server, factory) -> None:
    assert factory.informer(PODS) is factory.informer(PODS)
    assert factory.informer(PODS) is not factory.informer(PODS, "default")
    assert factory.informer(PODS) is not factory.informer(PODS, metadata_only=True)


async def test_metadata_only_asks_for_partial_objects(server, factory) -> None:
    factory.informer(PODS, metadata_only=True)
    await factory.wait_synced()
    assert "as=PartialObjectMetadataList" in server.requests[0].headers["accept"]


def test_only_numbers_are_compared() -> None:
    assert reflector.is_repeated("5", "5")
    assert not reflector.is_repeated("6", "5")
    assert not reflector.is_repeated("abc", "5")
    assert not reflector.is_repeated("", "5")

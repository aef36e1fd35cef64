"""What loops measure of their own, and the writes that they are told of."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from sampan.apimachinery.errors import APIError, Forbidden
from sampan.apimachinery.object import Object
from sampan.reconcile.executor import Executor
from sampan.reconcile.measures import Reading, Tally, families
from sampan.reconcile.plan import Create, Delete, Plan, Write

PODS_OF = {"metadata": {"name": "a", "namespace": "n"}}


class Shown:
    def __init__(self, *measures: Tally | Reading) -> None:
        self._measures = measures

    def collect(self):  # type: ignore[no-untyped-def]
        return families(self._measures)


def test_figures_keep_upstreams_names() -> None:
    total, changes = Tally("x_total", "Text."), Tally("y_changes", "Text.", ("operation",))
    state = Reading("z_count", "Text.", ("class",), lambda: {("gold",): 2.0})
    registry = CollectorRegistry()
    registry.register(Shown(total, changes, state))  # type: ignore[arg-type]
    total.add()
    total.add(amount=2)
    changes.add("create")
    text = generate_latest(registry).decode()
    assert "# TYPE x_total counter\nx_total 3.0\n" in text
    assert 'y_changes{operation="create"} 1.0\n' in text
    assert '# TYPE z_count gauge\nz_count{class="gold"} 2.0\n' in text


def test_a_count_without_labels_is_there_before_anything_happened() -> None:
    assert Tally("x_total", "").read() == {(): 0.0} and Tally("x_total", "", ("code",)).read() == {}


class Server:
    """Refuses to create, and deletes what it is told to."""

    async def create(self, *args: object, **fields: object) -> Object:
        raise Forbidden("no")

    async def delete(self, *args: object, **fields: object) -> Object:
        return {}


class Ignores:
    def deleted(self, *args: object) -> None:
        return


async def test_observers_are_told_of_every_write_and_how_it_ended() -> None:
    from sampan.api.resources import PODS

    told: list[tuple[Write, APIError | None]] = []
    executor = Executor(
        Server(), None, Ignores(), [lambda write, error: told.append((write, error))]  # type: ignore[arg-type]
    )
    delete, create = Delete(PODS, "a", "n"), Create(PODS, PODS_OF)
    try:
        await executor.run("key", Plan((delete, create)))
    except Forbidden as refused:
        assert told == [(delete, None), (create, refused)]
    else:
        raise AssertionError("it was refused")

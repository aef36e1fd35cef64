"""EndpointSlices as upstream's tables have them: families, labels, owners, placeholders, lost nodes, what is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.controllers.lab import LABELS, Lab, on_a_cluster, workload

from sampan.api.resources import ENDPOINT_SLICES, NODES, REPLICA_SETS, SERVICES
from sampan.apimachinery.object import Object, labels_of, meta, name_of
from sampan.controllers.services.endpointslice import MANAGED_BY, MANAGER, SERVICE_NAME, Look, Observed, plan
from sampan.controllers.services.service_backends import address_of, port_of
from sampan.controllers.services.topology_hints import MODE, OLD_MODE, Topology, is_automatic
from sampan.reconcile.plan import Create, Delete, Plan, Update

HEADLESS = "service.kubernetes.io/headless"


def stored(create: Create, name: str = "web-1", **metadata: object) -> Object:
    return {**create.obj, "metadata": {**create.obj["metadata"], "name": name, "uid": f"uid-{name}", **metadata}}


def both(make, name: str = "a", **more: object) -> Object:
    pod = make.pod(name, ready=True, ip="10.244.0.5", **more)
    pod["status"]["podIPs"].append({"ip": "fd00:0:0::5"})
    return pod


def writes(planned: Plan) -> list[str]:
    return [type(step).__name__.lower() for step in planned.steps]


@pytest.mark.parametrize(("families", "addresses"), [
    (["IPv4"], {"IPv4": ["10.244.0.5"]}), (["IPv6"], {"IPv6": ["fd00::5"]}),
    (["IPv6", "IPv4"], {"IPv6": ["fd00::5"], "IPv4": ["10.244.0.5"]}),
])
def test_each_family_of_a_service_has_its_slice(make, families, addresses) -> None:
    steps = plan(Observed(make.service(ipFamilies=families), (both(make),), ())).steps
    assert {one.obj["addressType"]: one.obj["endpoints"][0]["addresses"] for one in steps} == addresses
    assert len(steps) == len(families)


def test_a_pod_without_an_address_of_the_family_is_no_endpoint(make) -> None:
    pods = (make.pod("v4", ready=True, ip="10.244.0.5"), both(make, "both"))
    [create] = plan(Observed(make.service(ipFamilies=["IPv6"]), pods, ())).steps
    assert [one["targetRef"]["name"] for one in create.obj["endpoints"]] == ["both"]


def test_slices_of_a_family_that_the_service_has_no_more_go_and_are_not_used_for_another(make) -> None:
    [create] = plan(Observed(make.service(), (both(make),), ())).steps
    planned = plan(Observed(make.service(ipFamilies=["IPv6"]), (both(make),), (stored(create),)))
    assert writes(planned) == ["create", "delete"] and planned.steps[0].obj["addressType"] == "IPv6"


@pytest.mark.parametrize(("text", "wanted"), [
    ("10.0.0.1", ("IPv4", "10.0.0.1")), ("010.00.0.001", ("IPv4", "10.0.0.1")), ("0.0.0.0", ("IPv4", "0.0.0.0")),
    ("FD00::0:1", ("IPv6", "fd00::1")), ("::ffff:1.2.3.4", ("IPv4", "1.2.3.4")),
    ("1.2.3", None), ("1..2.3", None), ("1.2.3.4/8", None), ("name", None), ("", None),
])
def test_an_address_is_read_however_it_is_written(text, wanted) -> None:
    assert address_of(text) == wanted


@pytest.mark.parametrize(("labels", "spec", "wanted"), [
    ({}, {}, {}), ({"a": "b"}, {}, {"a": "b"}), ({}, {"clusterIP": "None"}, {HEADLESS: ""}),
    ({HEADLESS: "odd", SERVICE_NAME: "other", MANAGED_BY: "me"}, {}, {}),
    ({HEADLESS: "odd", "a": "b"}, {"clusterIP": "None"}, {HEADLESS: "", "a": "b"}),
])
def test_a_slice_has_the_services_labels_but_for_those_with_a_meaning(make, labels, spec, wanted) -> None:
    service = make.service(**spec)
    service["metadata"]["labels"] = labels
    [create] = plan(Observed(service, (both(make),), ())).steps
    assert labels_of(create.obj) == {SERVICE_NAME: "web", MANAGED_BY: MANAGER, **wanted}
    known = stored(create)
    assert not plan(Observed(service, (both(make),), (known,))).steps
    service["metadata"]["labels"] = {**labels, "new": "1"}
    [update] = plan(Observed(service, (both(make),), (known,))).steps
    assert labels_of(update.obj) == {**labels_of(known), "new": "1"}
    service["metadata"]["labels"] = {SERVICE_NAME: "bad", MANAGED_BY: "actor", HEADLESS: "invalid", "new": "1"}
    again = plan(Observed(service, (both(make),), (update.obj,))).steps
    assert not again or "a" in labels, "what has a meaning is no reason to write"


def test_a_service_made_anew_does_not_take_the_slices_of_the_one_before(make) -> None:
    """The garbage collector is about to take them away."""
    former = make.service()
    former["metadata"]["uid"] = "uid-before"
    [create] = plan(Observed(former, (both(make),), ())).steps
    planned = plan(Observed(make.service(), (both(make),), (stored(create),)))
    assert writes(planned) == ["create", "delete"]
    assert [one["uid"] for one in meta(planned.steps[0].obj)["ownerReferences"]] == ["uid-web"]


def test_a_slice_that_is_being_deleted_does_not_count(make) -> None:
    [create] = plan(Observed(make.service(), (both(make),), ())).steps
    going = stored(create, deletionTimestamp=make.now_text)
    assert writes(plan(Observed(make.service(), (both(make),), (going,)))) == ["create"]
    assert not plan(Observed(make.service(), (both(make),), (going, stored(create, "web-2")))).steps


def of_ports(number: int) -> list[Object]:
    return [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": number}]


@pytest.mark.parametrize(("pods", "ports", "wanted"), [
    (1, 8080, []), (2, 8080, ["update"]), (0, 8080, ["update"]), (1, 9090, ["update"]), (101, 8080, []),
])
def test_for_a_service_that_is_being_deleted_no_slice_is_made(make, pods, ports, wanted) -> None:
    """But those that are there go on saying the truth."""
    service = make.service(ports=of_ports(ports))
    service["metadata"]["deletionTimestamp"] = make.now_text
    found = tuple(make.pod(f"p{n}", ready=True, ip=f"10.1.0.{n}") for n in range(pods))
    assert not plan(Observed(service, found, ())).steps
    [create] = plan(Observed(make.service(), tuple(make.pod(f"p{n}", ready=True, ip=f"10.1.0.{n}") for n in (0,)),
                             ())).steps
    assert writes(plan(Observed(service, found, (stored(create),)))) == wanted


def test_without_endpoints_one_slice_says_so_and_has_no_ports(make) -> None:
    service = make.service()
    [create] = plan(Observed(service, (both(make),), ())).steps
    [update] = plan(Observed(service, (), (stored(create),))).steps
    assert (update.obj["endpoints"], update.obj["ports"]) == ([], [])
    assert not plan(Observed(service, (), (update.obj,))).steps
    [back] = plan(Observed(service, (both(make),), (update.obj,))).steps
    assert isinstance(back, Update) and [one["port"] for one in back.obj["ports"]] == [8080]
    twice = (update.obj, stored(create, "web-2"))
    assert writes(plan(Observed(service, (), twice))) == ["delete"]


@pytest.mark.parametrize(("publish", "nodes", "there", "endpoints", "steps"), [
    (False, "0", False, 1, ["create"]), (True, "0", False, 2, ["create"]), (False, "0", True, 1, ["update"]),
    (True, "", True, 2, []), (True, "0", True, 2, []), (False, "", True, 0, ["update"]),
])
def test_pods_whose_node_is_not_there(make, publish, nodes, there, endpoints, steps) -> None:
    service = make.service(publishNotReadyAddresses=publish)
    pods = tuple(make.pod(f"p{n}", ready=True, ip=f"10.1.0.{n}", node=f"n{n}") for n in range(2))
    [create] = plan(Observed(service, pods, ())).steps
    slices = (stored(create),) if there else ()
    planned = plan(Observed(service, pods, slices, Topology({f"n{n}": "" for n in nodes})))
    assert writes(planned) == steps
    assert len((planned.steps or [create])[0].obj["endpoints"]) == endpoints
    lost = [pod for pod in pods if pod["spec"]["nodeName"][1] not in nodes and not publish]
    assert [(one.reason, one.message) for one in planned.notes] == [
        ("FailedToUpdateEndpointSlices", "Error updating Endpoint Slices for Service default/web: skipping Pod "
         f"{name_of(pod)} for Service default/web: Node {pod['spec']['nodeName']} Not Found") for pod in lost
    ]
    assert (planned.requeue_after_s is not None) is bool(lost)


def test_a_pod_without_a_node_is_told_once_and_one_without_an_address_is_not_waited_for(make) -> None:
    nodes, pods = Topology({"n1": ""}), (make.pod("p", ready=True, ip="10.1.0.1", node="gone"),)
    observed = Observed(make.service(), pods, (), nodes)
    again = plan(Observed(make.service(), pods, (), nodes, observed.look))
    assert plan(observed).notes and not again.notes and again.requeue_after_s
    pending = plan(Observed(make.service(), (make.pod("q", node=""), make.pod("r", node="gone")), (), nodes))
    assert not pending.notes and pending.requeue_after_s is None


@pytest.mark.parametrize(("annotations", "wanted"), [
    ({}, False), ({MODE: "Auto"}, True), ({MODE: "auto"}, True), ({MODE: "AUTO"}, False), ({MODE: "Disabled"}, False),
    ({OLD_MODE: "auto"}, True), ({OLD_MODE: "Auto", MODE: "Disabled"}, True), ({OLD_MODE: "no", MODE: "Auto"}, False),
])
def test_who_asks_for_shares(make, annotations, wanted) -> None:
    service = make.service()
    service["metadata"]["annotations"] = annotations
    assert is_automatic(service) is wanted


@pytest.mark.parametrize(("spec", "annotation", "hinted"), [
    ({"trafficDistribution": "PreferClose"}, "Disabled", "abbbcc"), ({"trafficDistribution": "Other"}, "", ""),
    ({"trafficDistribution": "PreferClose"}, "Auto", "aabbcc"), ({}, "", ""), ({}, "Auto", "aabbcc"),
])
def test_shares_come_before_a_preference(make, spec, annotation, hinted) -> None:
    service = make.service(**spec)
    service["metadata"]["annotations"] = {OLD_MODE: annotation}
    pods = tuple(make.pod(f"p{n}", ready=True, ip=f"10.1.0.{n}", node=zone) for n, zone in enumerate("abbbcc"))
    topology = Topology({zone: zone for zone in "abc"}, dict.fromkeys("abc", 1 / 3))
    [create] = plan(Observed(service, pods, (), topology)).steps
    hints = [one.get("hints", {}).get("forZones", []) for one in create.obj["endpoints"]]
    assert "".join(sorted(zone["name"] for zones in hints for zone in zones)) == hinted


def test_that_shares_are_not_asked_for_any_more_is_told(make) -> None:
    shared, plain = make.service(), make.service()
    shared["metadata"]["annotations"] = {MODE: "Auto"}
    topology = Topology({"a": "a", "b": "b"}, {"a": 0.5, "b": 0.5})
    pods = tuple(make.pod(zone, ready=True, ip=f"10.1.0.{n}", node=zone) for n, zone in enumerate("ab"))
    [create] = plan(Observed(shared, pods, (), topology)).steps
    known = stored(create)
    planned = plan(Observed(plain, pods, (known,), topology, Look(shared=True)))
    assert [(one.type, one.reason, one.message) for one in planned.notes] == [
        ("Warning", "TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled, addressType: IPv4"),
    ]
    assert "hints" not in planned.steps[0].obj["endpoints"][0]
    for slices, before in (((planned.steps[0].obj,), Look(shared=True)), ((known,), Look())):
        assert not plan(Observed(plain, pods, slices, topology, before)).notes


def named(make, name: str, port: Object, **spec: object) -> Object:
    pod = make.pod(name, ready=True, ip="10.1.0.1")
    pod["spec"] |= {"containers": [{"name": "c", "ports": [port]}], **spec}
    return pod


@pytest.mark.parametrize(("port", "restart", "target", "number"), [
    ({"name": "p", "containerPort": 80, "protocol": "TCP"}, None, "p", 80),
    ({"name": "p", "containerPort": 80, "protocol": "UDP"}, None, "p", None),
    ({"name": "p", "containerPort": 80}, None, "p", 80), ({"name": "q", "containerPort": 80}, None, "p", None),
    ({"name": "p", "containerPort": 80}, "Always", "p", 80), ({"name": "p", "containerPort": 80}, "", "p", None),
    ({}, None, 93, 93), ({}, None, None, 1),
])
def test_which_number_a_target_port_means(make, port, restart, target, number) -> None:
    """`restart`: the container is an init container of this policy."""
    pod = named(make, "a", port)
    if restart is not None:
        policy = {"restartPolicy": restart} if restart else {}
        pod["spec"] = {"containers": [{"name": "c"}], "initContainers": [{"name": "i", "ports": [port], **policy}]}
    service_port = {"port": 1, "protocol": "TCP", **({"targetPort": target} if target is not None else {})}
    assert port_of(pod, service_port) == number


def test_a_pod_that_lacks_the_named_port_is_in_a_slice_without_ports(make) -> None:
    service = make.service(ports=[{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "p"}])
    pods = (named(make, "a", {"name": "p", "containerPort": 80}), named(make, "b", {"name": "q", "containerPort": 81}))
    steps = plan(Observed(service, pods, ())).steps
    assert [[port["port"] for port in one.obj["ports"]] for one in steps] == [[], [80]]


@pytest.mark.parametrize(("spec", "wanted"), [
    ({"hostname": "h", "subdomain": "web"}, "h"), ({"hostname": "h", "subdomain": "other"}, None),
    ({"hostname": "h"}, None), ({"subdomain": "web"}, None),
])
def test_an_endpoint_has_the_host_name_that_the_service_gives_it(make, spec, wanted) -> None:
    pod = both(make)
    pod["spec"] |= spec
    [create] = plan(Observed(make.service(clusterIP="None", ports=[]), (pod,), ())).steps
    assert create.obj["endpoints"][0].get("hostname") == wanted and create.obj["ports"] == []


def test_ten_slices_that_all_change_are_packed_anew(make) -> None:
    pods = [make.pod(f"p{n}", ready=True, ip=f"10.{n // 30}.0.{n % 30}") for n in range(300)]
    slices = []
    for first in range(0, 300, 30):
        [create] = plan(Observed(make.service(), tuple(pods[first:first + 30]), ())).steps
        slices.append(stored(create, f"web-{first}"))
    assert not plan(Observed(make.service(), tuple(pods), tuple(slices))).steps
    planned = plan(Observed(make.service(ports=of_ports(81)), tuple(pods), tuple(slices)))
    assert sorted(writes(planned)) == ["delete"] * 7 + ["update"] * 3
    assert [len(step.obj["endpoints"]) for step in planned.steps if isinstance(step, Update)] == [100] * 3


def test_two_slices_that_change_the_fuller_takes_the_new_ones_and_beyond_it_new_ones_are_made(make) -> None:
    def full(count: int, first: int) -> tuple[list[Object], Object]:
        pods = [make.pod(f"p{first + n}", ready=True, ip=f"10.{first}.0.{n}") for n in range(count)]
        [create] = plan(Observed(make.service(), tuple(pods), ())).steps
        return pods, stored(create, f"web-{first}")

    (eighty, one), (twenty, two) = full(80, 0), full(20, 100)
    for pod in (eighty[0], twenty[0]):
        pod["status"]["conditions"][0]["status"] = "False"
    new = [make.pod(f"n{n}", ready=True, ip=f"10.9.0.{n}") for n in range(15)]
    planned = plan(Observed(make.service(), (*eighty, *twenty, *new), (one, two)))
    sizes = [(name_of(step.obj), len(step.obj["endpoints"])) for step in planned.steps]
    assert sizes == [("web-0", 95), ("web-100", 20)]


def lives(lab: Lab, wanted: Callable[[list[Object]], bool]):
    async def check() -> bool:
        found = await lab.list(ENDPOINT_SLICES)
        return wanted([one for one in found if labels_of(one).get(SERVICE_NAME) == "web"])

    return check


def test_on_a_cluster_a_service_made_anew_has_slices_of_its_own_and_a_slice_that_is_held_is_replaced() -> None:
    async def scenario(lab: Lab) -> None:
        spec = {"selector": LABELS, "ports": [{"port": 80}]}
        await lab.create(SERVICES, "web", spec=spec)
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=2))
        await lab.until(lives(lab, lambda found: [len(one["endpoints"] or ()) for one in found] == [2]))
        [first] = await lab.list(ENDPOINT_SLICES)
        await lab.patch(ENDPOINT_SLICES, name_of(first), metadata={"finalizers": ["example.com/held"]})
        await lab.client.delete(ENDPOINT_SLICES, name_of(first), "default")
        await lab.until(lives(lab, lambda found: sum("deletionTimestamp" not in meta(one) for one in found) == 1))
        await lab.patch(ENDPOINT_SLICES, name_of(first), metadata={"finalizers": None})
        await lab.client.delete(SERVICES, "web", "default", propagation="Orphan")

        async def gone() -> bool:
            return not any(name_of(one) == "web" for one in await lab.list(SERVICES))

        await lab.until(gone)
        again = await lab.create(SERVICES, "web", spec=spec)

        def own(found: list[Object]) -> bool:
            owners = [[ref["uid"] for ref in meta(one).get("ownerReferences", ())] for one in found]
            return owners == [[meta(again)["uid"]]] and len(found[0]["endpoints"]) == 2

        await lab.until(lives(lab, own))

    on_a_cluster(scenario)


def test_on_a_cluster_a_pod_waits_for_its_node_and_the_service_is_told() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(SERVICES, "web", spec={"selector": LABELS, "ports": [{"port": 80}]})
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=1))
        await lab.running(1)
        await lab.until(lives(lab, lambda found: [len(one["endpoints"] or ()) for one in found] == [1]))
        [node] = (await lab.client.list(NODES))["items"]
        await lab.client.delete(NODES, name_of(node))

        async def told() -> bool:
            return "FailedToUpdateEndpointSlices" in await lab.reasons("web")

        await lab.until(told)

    on_a_cluster(scenario, nodes=1)


def test_deletions_name_the_slice_that_was_seen(make) -> None:
    [create] = plan(Observed(make.service(), (both(make),), ())).steps
    [_, gone] = plan(Observed(make.service(ipFamilies=["IPv6"]), (both(make),), (stored(create),))).steps
    assert isinstance(gone, Delete) and gone.uid == "uid-web-1"

"""Kinds that are a second view of what another kind stores."""

from tests.apiserver.serving import call, document, serving

from sampan.api.resources import CORE_EVENTS, EVENTS, HORIZONTAL_POD_AUTOSCALERS
from sampan.apimachinery.resource import Resource

V1 = Resource("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler")


async def test_an_event_is_one_object_in_two_groups():
    async with serving() as (_, client):
        event = {
            "metadata": {"name": "e", "namespace": "default"}, "eventTime": "2026-01-02T03:04:05.000000Z",
            "reportingController": "example.com/c", "reportingInstance": "c-1", "action": "Do", "reason": "Done",
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "note": "well", "type": "Normal",
        }
        await client.create(EVENTS, event)
        core = await client.get(CORE_EVENTS, "e", "default")
        assert core["apiVersion"] == "v1" and core["message"] == "well" and core["involvedObject"]["name"] == "p"
        listed = (await client.list(EVENTS, "default"))["items"]
        assert listed[0]["apiVersion"] == "events.k8s.io/v1" and listed[0]["note"] == "well"
        by_field = await client.list(CORE_EVENTS, "default", field_selector="involvedObject.name=p")
        assert len(by_field["items"]) == 1
        await client.delete(CORE_EVENTS, "e", "default")
        assert (await client.list(EVENTS, "default"))["items"] == []


async def test_an_autoscaler_is_one_object_in_two_versions():
    async with serving() as (server, client):
        old = {
            "metadata": {"name": "h", "namespace": "default"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 3,
                     "targetCPUUtilizationPercentage": 70},
        }
        await client.create(V1, old)
        new = await client.get(HORIZONTAL_POD_AUTOSCALERS, "h", "default")
        assert new["apiVersion"] == "autoscaling/v2"
        assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
        await client.patch(HORIZONTAL_POD_AUTOSCALERS, "h", {"spec": {"maxReplicas": 5}}, "default")
        assert (await client.get(V1, "h", "default"))["spec"]["maxReplicas"] == 5
        accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
        path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
        assert document(await call(server, "GET", path, headers=accept))["rows"][0]["cells"][0] == "h"

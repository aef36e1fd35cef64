"""CronTab, the custom resource of Kubernetes' own documentation, with kubectl as a user would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl, eventually, rows

NAME = "crontabs.stable.example.com"
CRD = (MANIFESTS / "crontab-crd.yaml").read_text()
CRONTAB = (MANIFESTS / "crontab.yaml").read_text()
OBJECT = "crontab/my-new-cron-object"


@pytest.fixture
def crontabs(each_kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl on a cluster that knows CronTabs."""
    kubectl = each_kubectl
    kubectl.apply(CRD)
    kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=140s")
    yield kubectl
    kubectl("delete", "crd", NAME, "--ignore-not-found", "--timeout=140s")


def test_a_definition_is_a_kind_like_any_other(crontabs: Kubectl) -> None:
    kubectl = crontabs
    assert rows(kubectl("api-resources", "--api-group=stable.example.com"))[1] == [
        "crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]
    explained = kubectl("explain", "crontabs.spec")
    assert "What to run." in explained and "cronSpec\t<string> -required-" in explained
    kubectl.apply(CRONTAB)
    assert rows(kubectl("get", "ct"))[0] == ["NAME", "SPEC", "REPLICAS", "AGE"]
    assert rows(kubectl("get", "ct"))[1][:3] == ["my-new-cron-object", "* * * * */5", "1"]
    assert OBJECT.replace("crontab/", "crontab.stable.example.com/") in kubectl("get", "all")
    kubectl("scale", "--replicas=3", OBJECT)
    assert kubectl.json("get", OBJECT)["spec"]["replicas"] == 3
    kubectl.apply(CRONTAB.replace("my-awesome", "another"))
    assert kubectl.json("get", OBJECT)["spec"]["image"] == "another-cron-image"
    assert "my-new-cron-object" in kubectl("get", "ct", "--field-selector", "spec.image=another-cron-image")
    kubectl("apply", "--server-side", "--field-manager=me", "--force-conflicts", "-f", "-", stdin=CRONTAB)
    kubectl("delete", OBJECT)
    assert "No resources found" in kubectl("get", "ct") or not rows(kubectl("get", "ct"))


def test_what_is_wrong_is_said_as_the_documentation_has_it(crontabs: Kubectl) -> None:
    kubectl = crontabs
    bad = CRONTAB.replace("* * * * */5", "* * * *") + "  replicas: 15\n"
    said = kubectl.fails("apply", "-f", "-", stdin=bad)
    assert 'spec.cronSpec: Invalid value: "* * * *": spec.cronSpec in body should match' in said
    assert "spec.replicas: Invalid value: 15: spec.replicas in body should be less than or equal to 10" in said
    assert 'unknown field "spec.bogus"' in kubectl.fails("apply", "-f", "-", stdin=CRONTAB + "  bogus: 1\n")
    kubectl.apply(CRONTAB)
    shrink = '{"spec":{"replicas":5,"maxReplicas":3}}'
    said = kubectl.fails("patch", OBJECT, "--type=merge", "-p", shrink)
    assert "replicas must be at most 3" in said and "maxReplicas never shrinks" in said


def test_controllers_and_rbac_know_it_without_a_restart(crontabs: Kubectl) -> None:
    kubectl = crontabs
    kubectl.apply(CRONTAB)
    owner = kubectl.json("get", OBJECT)
    reference = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "name": "my-new-cron-object",
                 "uid": owner["metadata"]["uid"]}
    kubectl.apply(f"""
kind: ConfigMap
apiVersion: v1
metadata: {{name: owned, ownerReferences: [{reference}]}}
""")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=crontabs.stable.example.com")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane")
    eventually(lambda: "my-new-cron-object" in kubectl("get", "ct", "--as=jane"), what="the right is known")
    said = kubectl.fails("delete", OBJECT, "--as=jane")
    assert 'cannot delete resource "crontabs" in API group "stable.example.com"' in said
    kubectl("delete", OBJECT)
    eventually(lambda: "owned" not in kubectl("get", "configmaps"), what="the owned object is collected")
    other = f"{kubectl.namespace}-gone"
    kubectl("create", "namespace", other)
    kubectl("apply", "-n", other, "-f", "-", stdin=CRONTAB)
    kubectl("delete", "namespace", other, "--timeout=140s")
    assert other not in kubectl("get", "ct", "-A")


def test_a_definition_takes_its_objects_with_it(crontabs: Kubectl) -> None:
    kubectl = crontabs
    kubectl.apply(CRONTAB)
    kubectl("delete", "crd", NAME, "--timeout=140s")
    assert "could not find the requested resource" in (said := kubectl.fails("get", "crontabs.v1.stable.example.com")) \
        or "doesn't have a resource type" in said
    kubectl.apply(CRD)
    kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=140s")
    assert not rows(kubectl("get", "ct"))[1:]

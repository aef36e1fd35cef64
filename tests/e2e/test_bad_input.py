"""What kubectl shows for wrong manifests: the field's path and what was expected, as with the real one."""

from __future__ import annotations

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl

PRIMER = (MANIFESTS / "primer-deployment.yaml").read_text()


@pytest.mark.parametrize(("wrong", "shown"), [
    (PRIMER.replace("replicas: 2", "replicsa: 2"), 'unknown field "spec.replicsa"'),
    (
        PRIMER.replace("replicas: 2", 'replicas: "two"'),
        "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (PRIMER.replace('image: "nginx:1.7.9", ', ""), "spec.template.spec.containers[0].image: Required value"),
    (PRIMER.replace("name: nginx-deployment", "name: Nginx_Deployment"), "a lowercase RFC 1123 subdomain must"),
    (
        PRIMER.replace("ports:", "resources: {requests: {memory: lots}}, ports:"),
        "quantities must match the regular expression",
    ),
    (PRIMER.replace("labels: {app: nginx}", "labels: {app: other}"), "`selector` does not match template `labels`"),
    (PRIMER.replace("containerPort: 80", "containerPort: 70000"), "must be between 1 and 65535, inclusive"),
], ids=["unknown field", "wrong type", "missing required", "no DNS label", "no quantity", "selector", "port"])
def test_a_wrong_manifest_names_the_field_and_what_was_expected(each_kubectl: Kubectl, wrong: str, shown: str) -> None:
    assert shown in each_kubectl.fails("apply", "-f", "-", stdin=wrong)
    assert not each_kubectl("get", "deployments", "-o", "name")


def test_an_immutable_field_keeps_its_value(kubectl: Kubectl) -> None:
    kubectl.apply(PRIMER)
    changed = PRIMER.replace("app: nginx", "app: other")
    message = kubectl.fails("apply", "-f", "-", stdin=changed)
    assert "spec.selector: Invalid value" in message
    assert "field is immutable" in message
    live = kubectl.json("get", "deployment", "nginx-deployment")
    assert live["spec"]["selector"] == {"matchLabels": {"app": "nginx"}}


def test_the_server_says_the_same_without_kubectls_own_validation(kubectl: Kubectl) -> None:
    wrong = PRIMER.replace("replicas: 2", "replicsa: 2")
    assert "strict decoding error" in kubectl.fails("create", "--validate=strict", "-f", "-", stdin=wrong)
    kubectl("create", "--validate=warn", "-f", "-", stdin=wrong)

"""sig-node: images that are there, that cannot be had, and that a registry gives only to whom it knows."""

from __future__ import annotations

import base64
import json

from tests.e2e.conformance.board import case
from tests.e2e.conformance.space import Object, Space, condition, container, pod, program, status, waiting

from sampan.api.resources import PODS, SECRETS, SERVICE_ACCOUNTS


@case
async def test_images_that_cannot_be_had(space: Space) -> None:
    policies = {"never": ("nothing:1", "Never", "ErrImageNeverPull"), "pull": ("127.0.0.1:1/x:1", "Always", ""),
                "bad": ("Bad//Name", "IfNotPresent", "InvalidImageName")}
    for name, (image, policy, _) in policies.items():
        await space.create(PODS, pod(name, container(image=image, imagePullPolicy=policy)))
    for name, (_, _, reason) in policies.items():
        if reason:
            await space.until(PODS, name, lambda p, reason=reason: waiting(p) == reason, reason)  # type: ignore[misc]
    await space.until(PODS, "pull", lambda p: waiting(p) == "ErrImagePull")
    shown = await space.until(PODS, "pull", lambda p: waiting(p) == "ImagePullBackOff")
    assert status(shown)["state"]["waiting"]["message"].startswith('Back-off pulling image "127.0.0.1:1/x:1"')
    assert shown["status"]["phase"] == "Pending"
    assert condition(shown, "PodReadyToStartContainers")["status"] == "True"
    assert await space.event("pull", "Failed", 'Failed to pull image "127.0.0.1:1/x:1"')
    assert await space.event("pull", "BackOff", "Back-off pulling image")


@case
async def test_a_private_registry(space: Space) -> None:
    """Container Runtime: pulled with the right secret, not without, and not with a wrong one."""
    node = space.nodes[1]
    server = program("registry", "5005", "somebody", "secret", readinessProbe={"tcpSocket": {"port": 5005}})
    await space.start(pod("registry", server, hostNetwork=True, nodeName=node))
    image = f"127.0.0.1:5005/private/{space.name}:1"

    def config(password: str) -> Object:
        auth = base64.b64encode(f"somebody:{password}".encode()).decode()
        document = json.dumps({"auths": {"127.0.0.1:5005": {"auth": auth}}})
        return {"type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": base64.b64encode(document.encode()).decode()}}

    for name, password in (("right", "secret"), ("wrong", "guess")):
        await space.create(SECRETS, {"metadata": {"name": name}, **config(password)})
    for name, secrets in (("without", []), ("wrong", [{"name": "wrong"}])):
        await space.create(PODS, pod(name, container(image=image), nodeName=node, imagePullSecrets=secrets))
        await space.until(PODS, name, lambda p: waiting(p) == "ImagePullBackOff", "a refusal")
        assert "401 Unauthorized" in await space.event(name, "Failed", "Failed to pull image")
    await space.start(pod("pulls", container(image=image), nodeName=node,
                          imagePullSecrets=[{"name": "wrong"}, {"name": "right"}]))

    async def printed() -> bool:
        return await space.logs("pulls") == "from the registry\n"

    await space.eventually(printed, "its output")
    assert "Successfully pulled image" in await space.event("pulls", "Pulled")
    await space.patch(SERVICE_ACCOUNTS, "default", {"imagePullSecrets": [{"name": "right"}]})
    made = await space.create(PODS, pod("account", container(image=image, imagePullPolicy="Always"), nodeName=node))
    assert made["spec"]["imagePullSecrets"] == [{"name": "right"}]
    await space.ready("account")

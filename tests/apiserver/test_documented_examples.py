"""The kind, the plugin and the authenticator in docs/concepts/api.md do what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.apiserver.serving import call, document, serving

from sampan.apimachinery.http import Request, UserInfo
from sampan.apiserver import server as servers
from sampan.apiserver.admission import table as admission
from sampan.apiserver.authn import table as authn

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "api.md"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page defines, put into the tables that it names."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    monkeypatch.setattr(servers, "KINDS", (*servers.KINDS, found["LEASE_CANDIDATE"]))
    monkeypatch.setattr(admission, "ADMISSION", (*admission.ADMISSION, found["build_team"]))
    monkeypatch.setattr(authn, "AUTHENTICATORS", (found["build_badge"], *authn.AUTHENTICATORS))
    yield found


async def test_the_documented_kind_is_served(example: dict[str, Any]) -> None:
    path = "/apis/coordination.k8s.io/v1beta1/namespaces/default/leasecandidates"
    async with serving() as (server, _):
        wrong = await call(server, "POST", path, {"metadata": {"name": "a"}, "spec": {"leaseName": "l"}})
        assert wrong.status == 422 and "spec.binaryVersion: Required value" in document(wrong)["message"]
        body = {"metadata": {"name": "a"}, "spec": {"leaseName": "l", "binaryVersion": "1.37.0"}}
        made = document(await call(server, "POST", f"{path}?fieldValidation=Strict", body))
        assert made["spec"]["strategy"] == "OldestEmulationVersion" and made["metadata"]["uid"]
        table = document(await call(server, "GET", path, headers={"accept": TABLE}))
        assert table["rows"][0]["cells"][:2] == ["a", "l"]
        listed = document(await call(server, "GET", "/apis/coordination.k8s.io/v1beta1"))
        assert [one["name"] for one in listed["resources"]] == ["leasecandidates"]
        openapi = document(await call(server, "GET", "/openapi/v3/apis/coordination.k8s.io/v1beta1"))
        assert f"{path.replace('default', '{namespace}')}/{{name}}" in openapi["paths"]
        assert (await call(server, "DELETE", f"{path}/a")).status == 200


async def test_the_documented_plugin_names_a_team_or_refuses(example: dict[str, Any]) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = orjson.dumps({
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    })
    headers = {"content-type": "application/json"}
    async with serving() as (server, _):
        refused = await server.handle(Request("POST", path, {}, headers, body, user=UserInfo("jane")))
        assert refused.status == 403
        assert document(refused)["message"] == 'deployments.apps "d" is forbidden: it has no team'
        taken = await server.handle(Request("POST", path, {}, headers, body, user=UserInfo("dev:ships")))
        assert taken.status == 201 and document(taken)["metadata"]["labels"] == {"team": "ships"}


async def test_the_documented_authenticator_knows_a_badge(example: dict[str, Any]) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"content-type": "application/json", "x-badge": "jane"}
    async with serving(authorization=True) as (server, _):
        known = await server.handle(Request("POST", path, {}, headers, b"{}", remote="127.0.0.1"))
        assert known.status == 201
        assert document(known)["status"]["userInfo"] == {
            "username": "jane", "groups": ["badges", "system:authenticated"],
        }
        far = await server.handle(Request("POST", path, {}, headers, b"{}", remote="10.0.0.9"))
        assert far.status == 401
        del headers["x-badge"]
        assert (await server.handle(Request("POST", path, {}, headers, b"{}", remote="127.0.0.1"))).status == 403

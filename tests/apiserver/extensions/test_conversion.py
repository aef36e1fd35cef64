"""Versions that a webhook converts: over TLS on the loopback, as a user's would be."""

from __future__ import annotations

import base64
import contextlib
import ssl

import pytest
from aiohttp import web
from tests.apiserver.extensions.definitions import CRONTABS, NAME, crontab, establish, of, until, version
from tests.apiserver.serving import call, document, serving
from tests.meanwhile import meanwhile

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery import errors
from sampan.apimachinery.resource import Resource
from sampan.pki.authority import CertificateAuthority, server

OLD = Resource("stable.example.com", "v1beta1", "crontabs", "CronTab")
PATH = "/apis/stable.example.com/v1beta1/namespaces/default/crontabs"
HOST_PORT = {"type": "object", "properties": {"hostPort": {"type": "string"}}}
SPLIT = {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "string"}}}


class Webhook:
    """The one of upstream's documentation: `hostPort` in v1beta1 is `host` and `port` in v1."""

    def __init__(self) -> None:
        self.reviews = 0
        self.failure = ""
        self.config = {}

    async def convert(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.reviews += 1
        wanted = review["request"]["desiredAPIVersion"]
        converted = [self._one(obj, wanted) for obj in review["request"]["objects"]]
        result = {"status": "Failed", "message": self.failure} if self.failure else {"status": "Success"}
        return web.json_response({
            "apiVersion": review["apiVersion"], "kind": "ConversionReview",
            "response": {"uid": review["request"]["uid"], "result": result, "convertedObjects": converted},
        })

    def _one(self, obj, wanted):
        spec = obj["spec"]
        if wanted.endswith("/v1"):
            host, _, port = spec.get("hostPort", "").partition(":")
            spec = {"host": host, "port": port}
        else:
            spec = {"hostPort": f"{spec.get('host')}:{spec.get('port')}"}
        return {**obj, "apiVersion": wanted, "spec": spec}


@contextlib.asynccontextmanager
async def webhook(tmp_path):
    authority = CertificateAuthority.create("test")
    credential = authority.issue(server("localhost", ["localhost"], ["127.0.0.1"]))
    pair = tmp_path / "webhook.pem"
    pair.write_bytes(credential.certificate_pem + credential.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/convert", hook.convert)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    bundle = base64.b64encode(authority.certificate_pem).decode()
    hook.config = {"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"url": f"https://127.0.0.1:{port}/convert", "caBundle": bundle},
    }}
    try:
        yield hook
    finally:
        await runner.cleanup()


def versions(*, stored):
    return [of(HOST_PORT, name="v1beta1", storage=stored == "v1beta1"), of(SPLIT, name="v1", storage=stored == "v1")]


async def test_a_webhook_converts_what_is_written_and_read(tmp_path):
    async with webhook(tmp_path) as hook, serving() as (api, client):
        await establish(client, *versions(stored="v1"), conversion=hook.config)
        made = await client.create(OLD, crontab(api_version="stable.example.com/v1beta1", hostPort="a:1"))
        assert made["spec"] == {"hostPort": "a:1"} and made["apiVersion"] == "stable.example.com/v1beta1"
        assert (await client.get(CRONTABS, "a", "default"))["spec"] == {"host": "a", "port": "1"}
        assert (await client.get(OLD, "a", "default"))["spec"] == {"hostPort": "a:1"}
        patched = await client.patch(OLD, "a", {"spec": {"hostPort": "b:2"}}, "default", type="merge")
        assert patched["spec"] == {"hostPort": "b:2"}
        await client.create(CRONTABS, crontab("c", host="c", port="3"))
        listed = document(await call(api, "GET", PATH))
        assert [item["spec"]["hostPort"] for item in listed["items"]] == ["b:2", "c:3"]
        before = hook.reviews
        assert [item["spec"] for item in document(await call(api, "GET", PATH))["items"]] == [
            {"hostPort": "b:2"}, {"hostPort": "c:3"}]
        assert hook.reviews == before  # the same states are not converted again


async def test_a_watch_shows_the_watched_version(tmp_path):
    async with webhook(tmp_path) as hook, serving() as (_, client):
        await establish(client, *versions(stored="v1"), conversion=hook.config)
        await client.create(CRONTABS, crontab(host="a", port="1"))
        seen = []

        def note(event):
            seen.append((event.type, event.object["spec"]))

        async def follow():
            async for event in client.watch(OLD, "default", timeout_s=120, bookmarks=False):
                note(event)

        async def saw(count):
            async def check():
                return len(seen) == count

            await until(check)

        async with meanwhile(follow()):
            await saw(1)
            await client.delete(CRONTABS, "a", "default")
            await saw(2)
        assert seen == [("ADDED", {"hostPort": "a:1"}), ("DELETED", {"hostPort": "a:1"})]


async def test_what_was_stored_in_another_version_is_converted(tmp_path):
    async with webhook(tmp_path) as hook, serving() as (_, client):
        await establish(client, *versions(stored="v1beta1"), conversion=hook.config)
        await client.create(OLD, crontab(api_version="stable.example.com/v1beta1", hostPort="a:1"))
        crd = await client.patch(CRDS, NAME, {"spec": {"versions": versions(stored="v1")}})
        assert crd["status"]["storedVersions"] == ["v1beta1", "v1"]
        assert (await client.get(CRONTABS, "a", "default"))["spec"] == {"host": "a", "port": "1"}
        await client.patch(CRONTABS, "a", {"spec": {"port": "2"}}, "default", type="merge")
        assert (await client.get(OLD, "a", "default"))["spec"] == {"hostPort": "a:2"}


async def test_a_webhook_that_fails_fails_the_request(tmp_path):
    async with webhook(tmp_path) as hook, serving() as (_, client):
        await establish(client, *versions(stored="v1"), conversion=hook.config)
        hook.failure = "no idea"
        with pytest.raises(errors.InternalError, match=(
            r"conversion webhook for stable.example.com/v1beta1, Kind=CronTab failed: no idea"
        )):
            await client.create(OLD, crontab(api_version="stable.example.com/v1beta1", hostPort="a:1"))
        assert (await client.create(CRONTABS, crontab(host="a", port="1")))["spec"] == {"host": "a", "port": "1"}


async def test_versions_that_are_not_served_are_not_found():
    async with serving() as (api, client):
        await establish(client, version("v1"), version("v1beta1", storage=False, served=False))
        assert (await call(api, "GET", PATH)).status == 404

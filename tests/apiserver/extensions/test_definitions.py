"""What a CustomResourceDefinition must be, what it becomes, and how it goes."""

from __future__ import annotations

import pytest
from tests.apiserver.extensions.definitions import (
    CRONTABS,
    NAME,
    condition,
    conditioned,
    crontab,
    definition,
    establish,
    gone,
    of,
    schema,
    until,
    version,
)
from tests.apiserver.serving import call, document, serving

from sampan.api.apiextensions.customresourcedefinition import CUSTOM_RESOURCE_DEFINITION as KIND
from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery import errors

ROOT = "spec.versions[0].schema.openAPIV3Schema"


def problems(crd):
    KIND.default(crd)
    return [str(error) for error in KIND.validate(crd)]


def in_schema(spec):
    return problems(definition(of(spec)))


def test_the_defaults_are_names_and_no_conversion():
    crd = definition()
    assert problems(crd) == []
    assert crd["spec"]["names"] == {
        "plural": "crontabs", "kind": "CronTab", "singular": "crontab", "listKind": "CronTabList",
    }
    assert crd["spec"]["conversion"] == {"strategy": "None"}


def test_a_definition_is_called_by_its_plural_and_group():
    crd = definition()
    crd["metadata"]["name"] = "other"
    assert problems(crd) == ['metadata.name: Invalid value: "other": must be spec.names.plural+"."+spec.group']


def test_exactly_one_version_is_stored():
    assert problems(definition(version("v1", storage=False))) == [
        'spec.versions: Invalid value: ["v1"]: must have exactly one version marked as storage version']
    assert problems(definition(version("v1"), version("v1", storage=False))) == [
        'spec.versions: Invalid value: ["v1","v1"]: must contain unique version names']


@pytest.mark.parametrize(("spec", "expected"), [
    ({}, f"{ROOT}.properties[spec].type: Required value: must not be empty for specified object fields"),
    ({"type": "array"}, f"{ROOT}.properties[spec].items: Required value: must be specified"),
    ({"type": "array", "items": {}},
     f"{ROOT}.properties[spec].items.type: Required value: must not be empty for specified array items"),
    ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
     f"{ROOT}.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual "
     "exclusive"),
    ({"type": "string", "pattern": "("}, f'{ROOT}.properties[spec].pattern: Invalid value: "(": must be a valid '
     "regular expression, but isn't: missing ): ("),
    ({"type": "object", "anyOf": [{"type": "object"}]},
     f"{ROOT}.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural"),
    ({"type": "integer", "default": "x"}, f'{ROOT}.properties[spec].default: Invalid value: "string": '
     f'{ROOT}.properties[spec].default in body must be of type integer: "string"'),
    ({"type": "string", "x-kubernetes-int-or-string": True}, f'{ROOT}.properties[spec].type: Invalid value: "string": '
     "must be empty if x-kubernetes-int-or-string is true"),
    ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
     f"{ROOT}.properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if "
     "x-kubernetes-list-type is map"),
])
def test_schemas_that_are_not_structural_are_refused(spec, expected):
    assert in_schema(spec) == [expected]


def test_int_or_string_may_say_so_in_any_of():
    assert in_schema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}) == []


def test_a_schema_is_required():
    broken = version()
    del broken["schema"]
    assert problems(definition(broken)) == [f"{ROOT}: Required value: schemas are required"]


def test_the_paths_of_scale_lie_where_they_must():
    scale = {"specReplicasPath": ".status.replicas", "statusReplicasPath": ".status.replicas"}
    assert problems(definition(version(subresources={"scale": scale}))) == [
        'spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.replicas": should be a json '
        "path under .spec"]


def test_columns_have_a_type_and_a_path():
    found = problems(definition(version(additionalPrinterColumns=[{"name": "A", "type": "x", "jsonPath": "spec"}])))
    assert found == [
        'spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "x": must be one of '
        "boolean,date,integer,number,string",
        'spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: "spec": must be a simple json path '
        "starting with .",
    ]


def test_a_conversion_webhook_says_where_it_is():
    crd = definition(conversion={"strategy": "Webhook"})
    assert problems(crd) == [
        "spec.conversion.webhook.clientConfig: Required value: required when strategy is set to Webhook"]


async def test_a_definition_is_established_and_served():
    async with serving() as (server, client):
        with pytest.raises(errors.NotFound):
            await client.list(CRONTABS, "default")
        crd = await establish(client, names={"shortNames": ["ct"], "categories": ["all"]})
        assert crd["status"]["acceptedNames"] == {
            "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList",
            "shortNames": ["ct"], "categories": ["all"],
        }
        assert crd["status"]["storedVersions"] == ["v1"]
        accepted, established = condition(crd, "NamesAccepted"), condition(crd, "Established")
        assert (accepted["reason"], accepted["message"]) == ("NoConflicts", "no conflicts found")
        assert established["reason"] == "InitialNamesAccepted"
        resources = document(await call(server, "GET", "/apis/stable.example.com/v1"))["resources"]
        assert resources[0]["shortNames"] == ["ct"] and resources[0]["categories"] == ["all"]
        assert (await client.list(CRONTABS, "default"))["kind"] == "CronTabList"


async def test_names_that_are_taken_are_accepted_once_they_are_free():
    async with serving() as (_, client):
        await establish(client, names={"shortNames": ["ct"]})
        await client.create(CRDS, definition(plural="coats", kind="Coat", names={"shortNames": ["ct"]}))
        crd = await conditioned(client, "NamesAccepted", "False", "coats.stable.example.com")
        refused = condition(crd, "NamesAccepted")
        assert (refused["reason"], refused["message"]) == ("ShortNamesConflict", '"ct" is already in use')
        assert condition(crd, "Established")["reason"] == "NotAccepted"
        await client.delete(CRDS, NAME)
        await conditioned(client, "Established", "True", "coats.stable.example.com")


async def test_a_group_of_the_servers_own_cannot_be_taken():
    async with serving() as (server, client):
        crd = definition(plural="sails", kind="Sail")
        crd["metadata"]["name"], crd["spec"]["group"] = "sails.networking.k8s.io", "networking.k8s.io"
        with pytest.raises(errors.Invalid, match=r'must have approval annotation "api-approved.kubernetes.io"'):
            await client.create(CRDS, crd)
        crd["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
        await client.create(CRDS, crd)
        await conditioned(client, "Established", "False", "sails.networking.k8s.io")
        assert (await call(server, "GET", "/apis/networking.k8s.io/v1/namespaces/default/sails")).status == 404


async def test_a_definition_of_definitions_changes_nothing_about_them():
    """TestOpenAPIApiextensionsOverlapProtection"""
    async with serving() as (server, client):
        async def described():
            paths = document(await call(server, "GET", "/openapi/v2"))
            return paths["paths"]["/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"]

        before = await described()
        names = {"plural": "customresourcedefinitions", "kind": "CustomResourceDefinition"}
        crd = definition(of({"type": "object", "properties": {"onlyToBeFound": {"type": "boolean"}}}), **names)
        crd["metadata"] = {
            "name": "customresourcedefinitions.apiextensions.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
        }
        crd["spec"]["group"] = "apiextensions.k8s.io"
        await client.create(CRDS, crd)
        await conditioned(client, "Established", "False", crd["metadata"]["name"])
        await establish(client)
        assert await described() == before
        text = (await call(server, "GET", "/openapi/v2")).body.decode()
        assert "crontabs" in text and "onlyToBeFound" not in text
        assert [one["metadata"]["name"] for one in (await client.list(CRDS))["items"]] == sorted(
            [NAME, crd["metadata"]["name"]]
        )


async def test_group_plural_and_then_scope_are_fixed():
    async with serving() as (_, client):
        crd = await establish(client)
        crd["spec"]["scope"] = "Cluster"
        with pytest.raises(errors.Invalid, match=r'spec.scope: Invalid value: "Cluster": field is immutable'):
            await client.update(CRDS, crd)


async def test_a_stored_version_cannot_be_dropped():
    async with serving() as (_, client):
        await establish(client, version("v1beta1"))
        later = {"spec": {"versions": [version("v1beta1", storage=False), version("v1")]}}
        crd = await client.patch(CRDS, NAME, later)
        assert crd["status"]["storedVersions"] == ["v1beta1", "v1"]
        with pytest.raises(errors.Invalid, match=r"status.storedVersions\[0\].*missing from spec.versions"):
            await client.patch(CRDS, NAME, {"spec": {"versions": [version("v1")]}})


async def test_deleting_a_definition_deletes_its_objects():
    async with serving() as (server, client):
        await establish(client)
        await client.create(CRONTABS, crontab("a"))
        held = crontab("held")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(CRONTABS, held)
        going = await client.delete(CRDS, NAME)
        assert going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        await conditioned(client, "Terminating")

        async def one_is_left():
            return len((await client.list(CRONTABS, "default"))["items"]) == 1

        await until(one_is_left)
        response = await call(server, "POST", "/apis/stable.example.com/v1/namespaces/default/crontabs", crontab("b"))
        assert response.status == 405
        message = "create not allowed while custom resource definition is terminating"
        assert document(response)["message"] == message
        held = await client.get(CRONTABS, "held", "default")
        held["metadata"]["finalizers"] = []
        await client.update(CRONTABS, held)
        await gone(client)


async def test_what_is_gone_is_no_longer_served_and_may_come_back():
    async with serving() as (server, client):
        await establish(client)
        await client.create(CRONTABS, crontab("a"))
        await client.delete(CRDS, NAME)
        await gone(client)
        assert (await call(server, "GET", "/apis/stable.example.com/v1")).status == 404
        await establish(client)
        assert (await client.list(CRONTABS, "default"))["items"] == []


async def test_rules_that_do_not_compile_are_refused():
    async with serving() as (_, client):
        rule = {"rule": "self.nope > 1"}
        spec = {"type": "object", "properties": {"a": {"type": "integer"}}, "x-kubernetes-validations": [rule]}
        with pytest.raises(errors.Invalid, match=(
            r"properties\[spec\].x-kubernetes-validations\[0\].rule: .*undefined field 'nope'"
        )):
            await client.create(CRDS, definition(of(spec)))
        rule["rule"] = "self.a +"
        with pytest.raises(errors.Invalid, match="compilation failed"):
            await client.create(CRDS, definition(of(spec)))
        rule["rule"] = "self.a + 1"
        with pytest.raises(errors.Invalid, match="must evaluate to bool"):
            await client.create(CRDS, definition(of(spec)))


def test_a_root_that_is_no_object_is_refused():
    crd = definition(version(schema={"openAPIV3Schema": {**schema(), "type": "string"}}))
    assert problems(crd) == [f'{ROOT}.type: Invalid value: "string": must be object at the root']

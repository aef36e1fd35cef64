from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from sampan.apimachinery.object import Object
from sampan.controllers import certificate_cleaner
from sampan.controllers.certificate_approver import approval, right_needed
from sampan.controllers.certificate_requests import API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY
from sampan.controllers.certificate_signer import Authority, plan
from sampan.pki.authority import CertificateAuthority
from sampan.pki.certificate import KeyPair, new_key
from sampan.reconcile.plan import NOTHING

CLIENT, SERVER = ["digital signature", "client auth"], ["digital signature", "server auth"]


def request(make, signer: str, name: str, *organizations: str, usages: list[str], hosts: tuple = (), **spec) -> Object:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if hosts:
        names_of_hosts = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names_of_hosts, critical=False)
    pem = builder.sign(new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": make.meta("csr"),
        "spec": {"signerName": signer, "request": base64.b64encode(pem).decode(), "usages": usages, **spec},
        "status": {"conditions": [{"type": "Approved", "status": "True", "lastUpdateTime": make.now_text}]},
    }


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    CertificateAuthority.ensure(KeyPair.named(tmp_path, "ca"), "test")
    return Authority(tmp_path / "ca.crt", tmp_path / "ca.key")


def signed(decided) -> x509.Certificate:
    [update] = decided.steps
    return x509.load_pem_x509_certificate(base64.b64decode(update.obj["status"]["certificate"]))


def failure(decided) -> str:
    [update] = decided.steps
    return update.obj["status"]["conditions"][-1]["message"]


def test_an_approved_kubelet_gets_the_certificate_it_asked_for(make, authority) -> None:
    hour = request(make, KUBELET_CLIENT, "system:node:a", "system:nodes", usages=CLIENT, expirationSeconds=3600)
    found = signed(plan(hour, authority, make.now))
    assert found.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    assert found.not_valid_after_utc - make.now.replace(microsecond=0) == timedelta(hours=1)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [one.dotted_string for one in usage] == ["1.3.6.1.5.5.7.3.2"]
    serving = request(
        make, KUBELET_SERVING, "system:node:a", "system:nodes", usages=SERVER, hosts=("a.example.com",)
    )
    names = signed(plan(serving, authority, make.now)).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["a.example.com"]


@pytest.mark.parametrize(("signer", "name", "groups", "usages", "hosts", "problem"), [
    (KUBELET_CLIENT, "system:node:a", ("system:masters",), CLIENT, (), "organization is not system:nodes"),
    (KUBELET_CLIENT, "admin", ("system:nodes",), CLIENT, (), "does not begin with system:node:"),
    (KUBELET_CLIENT, "system:node:a", ("system:nodes",), SERVER, (), "usages did not match"),
    (KUBELET_CLIENT, "system:node:a", ("system:nodes",), CLIENT, ("x",), "SubjectAlternativeNames are not allowed"),
    (KUBELET_SERVING, "system:node:a", ("system:nodes",), SERVER, (), "DNS or IP subjectAltName is required"),
    (API_CLIENT, "anna", (), SERVER, (), "usages did not match"),
])
def test_what_does_not_have_its_signers_form_fails(
    make, authority, signer, name, groups, usages, hosts, problem
) -> None:
    asked = request(make, signer, name, *groups, usages=usages, hosts=hosts)
    assert problem in failure(plan(asked, authority, make.now))


def test_nothing_is_signed_unapproved_denied_twice_or_for_strangers(make, authority) -> None:
    asked = request(make, LEGACY, "anna", usages=CLIENT)
    assert signed(plan(asked, authority, make.now))
    assert not plan({**asked, "status": {}}, authority, make.now)
    denied = [*asked["status"]["conditions"], {"type": "Denied", "status": "True"}]
    assert not plan({**asked, "status": {"conditions": denied}}, authority, make.now)
    assert not plan({**asked, "spec": {**asked["spec"], "signerName": "example.com/other"}}, authority, make.now)


def test_kubelets_are_approved_by_what_they_may_and_others_never(make) -> None:
    asked = request(
        make, KUBELET_CLIENT, "system:node:a", "system:nodes", usages=CLIENT, username="system:node:a"
    )
    asked["status"] = {}
    assert right_needed(asked) == ("selfnodeclient", "nodeclient")
    asked["spec"]["username"] = "system:bootstrap:x"
    assert right_needed(asked) == ("nodeclient",)
    [update] = approval(asked, "nodeclient", make.now).steps
    assert update.subresource == "approval" and update.obj["status"]["conditions"][0]["reason"] == "AutoApproved"
    assert right_needed(update.obj) == ()
    serving = request(make, KUBELET_SERVING, "system:node:a", "system:nodes", usages=SERVER, hosts=("a",))
    assert right_needed({**serving, "status": {}}) == ()


def test_requests_go_an_hour_after_the_decision_or_a_day_without_one(make) -> None:
    asked = request(make, LEGACY, "anna", usages=CLIENT)
    assert certificate_cleaner.plan(asked, make.now + timedelta(days=9)) == NOTHING  # it waits for its signer
    asked["status"]["certificate"] = "bm90IG9uZQ=="
    assert certificate_cleaner.plan(asked, make.now).requeue_after_s == 3600
    assert certificate_cleaner.plan(asked, make.now + timedelta(hours=1)).steps
    asked["status"] = {}
    assert not certificate_cleaner.plan(asked, make.now + timedelta(hours=20)).steps
    assert certificate_cleaner.plan(asked, make.now + timedelta(hours=24)).steps

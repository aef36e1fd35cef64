from __future__ import annotations

import base64
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from sampan.apimachinery.object import Object
from sampan.controllers.certificates import certificate_cleaner
from sampan.controllers.certificates.certificate_approver import CertificateApprover, again, approval, right_needed
from sampan.controllers.certificates.certificate_requests import API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY
from sampan.controllers.certificates.certificate_signer import Authority, plan
from sampan.controllers.times import text
from sampan.pki.authority import CertificateAuthority
from sampan.pki.certificate import KeyPair, new_key
from sampan.reconcile.plan import NOTHING
from sampan.sim.loop import run

CLIENT, SERVER = ["digital signature", "client auth"], ["digital signature", "server auth"]


def request(make, signer: str, name: str, *organizations: str, usages: list[str], names: tuple = (), **spec) -> Object:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
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


def test_an_approved_kubelet_gets_the_certificate_it_asked_for(make, authority) -> None:
    hour = request(make, KUBELET_CLIENT, "system:node:a", "system:nodes", usages=CLIENT, expirationSeconds=3600)
    found = signed(plan(hour, authority, make.now))
    assert found.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    assert found.not_valid_after_utc - make.now.replace(microsecond=0) == timedelta(hours=1)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [one.dotted_string for one in usage] == ["1.3.6.1.5.5.7.3.2"]
    serving = request(
        make, KUBELET_SERVING, "system:node:a", "system:nodes", usages=SERVER, names=(x509.DNSName("a.example.com"),)
    )
    names = signed(plan(serving, authority, make.now)).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["a.example.com"]


NODES, NODE = ("system:nodes",), "system:node:a"
MAIL, URI = x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("https://example.com")
HOST, IP = x509.DNSName("a"), x509.IPAddress(ip_address("192.0.2.1"))


@pytest.mark.parametrize(("signer", "name", "groups", "usages", "names", "problem"), [
    (KUBELET_CLIENT, NODE, ("system:masters",), CLIENT, (), "subject organization is not system:nodes"),
    (KUBELET_CLIENT, NODE, (*NODES, "other"), CLIENT, (), "subject organization is not system:nodes"),
    (KUBELET_CLIENT, "admin", NODES, CLIENT, (), "subject common name does not begin with system:node:"),
    (KUBELET_CLIENT, NODE, NODES, SERVER, (), "usages did not match [client auth digital signature key encipherment]"),
    (KUBELET_CLIENT, NODE, NODES, CLIENT[:1], (),
     "usages did not match [client auth digital signature key encipherment]"),
    (KUBELET_CLIENT, NODE, NODES, CLIENT, (HOST,), "DNS subjectAltNames are not allowed"),
    (KUBELET_CLIENT, NODE, NODES, CLIENT, (MAIL,), "Email subjectAltNames are not allowed"),
    (KUBELET_CLIENT, NODE, NODES, CLIENT, (IP,), "IP subjectAltNames are not allowed"),
    (KUBELET_CLIENT, NODE, NODES, CLIENT, (URI,), "URI subjectAltNames are not allowed"),
    (KUBELET_CLIENT, NODE, NODES, [*CLIENT, "key encipherment"], (), ""),
    (KUBELET_SERVING, NODE, NODES, SERVER, (), "DNS or IP subjectAltName is required"),
    (KUBELET_SERVING, NODE, NODES, SERVER, (HOST, MAIL), "Email subjectAltNames are not allowed"),
    (KUBELET_SERVING, NODE, NODES, SERVER, (IP, URI), "URI subjectAltNames are not allowed"),
    (KUBELET_SERVING, NODE, (), SERVER, (HOST,), "subject organization is not system:nodes"),
    (KUBELET_SERVING, "admin", NODES, SERVER, (HOST,), "subject common name does not begin with system:node:"),
    (KUBELET_SERVING, NODE, NODES, CLIENT, (IP,),
     "usages did not match [digital signature key encipherment server auth]"),
    (KUBELET_SERVING, NODE, NODES, SERVER, (HOST, IP), ""),
    (API_CLIENT, "anna", (), SERVER, (), "invalid usage for client certificate: server auth"),
    (API_CLIENT, "anna", (), CLIENT[:1], (), "missing required usage for client certificate: client auth"),
    (API_CLIENT, "anna", ("system:masters",), CLIENT, (MAIL,), ""),
])
def test_what_does_not_have_its_signers_form_fails(
    make, authority, signer, name, groups, usages, names, problem
) -> None:
    asked = request(make, signer, name, *groups, usages=usages, names=names)
    decided = plan(asked, authority, make.now)
    if not problem:
        assert signed(decided)
        return
    [update] = decided.steps
    failed = update.obj["status"]["conditions"][-1]
    assert (failed["type"], failed["status"], failed["reason"], failed["message"]) == (
        "Failed", "True", "SignerValidationFailure", problem,
    )


@pytest.mark.parametrize(("seconds", "since_minutes", "holds"), [
    (None, 5, timedelta(days=365)), (60, 5, timedelta(minutes=15)), (600, 5, timedelta(minutes=15)),
    (3600, 5, timedelta(minutes=65)), (8 * 3600, 5, timedelta(hours=8)), (10 ** 9, 5, timedelta(days=365)),
])
def test_how_long_a_certificate_holds(make, authority, seconds, since_minutes, holds) -> None:
    spec = {} if seconds is None else {"expirationSeconds": seconds}
    found = signed(plan(request(make, LEGACY, "anna", usages=CLIENT, **spec), authority, make.now))
    assert make.now.replace(microsecond=0) - found.not_valid_before_utc == timedelta(minutes=since_minutes)
    assert found.not_valid_after_utc - found.not_valid_before_utc == holds


@pytest.mark.parametrize(("usages", "plain", "extended"), [
    ([], set(), []),
    (["signing"], {"digital_signature"}, []), (["digital signature", "signing"], {"digital_signature"}, []),
    (["client auth"], set(), ["1.3.6.1.5.5.7.3.2"]), (["client auth", "client auth"], set(), ["1.3.6.1.5.5.7.3.2"]),
    (["cert sign", "key agreement", "encipher only"], {"key_cert_sign", "key_agreement", "encipher_only"}, []),
    (["cert sign", "encipher only"], {"key_cert_sign"}, []),
    (["ocsp signing", "crl sign", "s/mime", "email protection", "content commitment"],
     {"crl_sign", "content_commitment"}, ["1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.9"]),
    (["signing", "key encipherment", "client auth", "server auth"], {"digital_signature", "key_encipherment"},
     ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]),
    (["netscape sgc", "microsoft sgc", "timestamping", "ipsec user", "ipsec tunnel", "ipsec end system", "any"], set(),
     ["2.5.29.37.0", *(f"1.3.6.1.5.5.7.3.{n}" for n in (5, 6, 7, 8)), "1.3.6.1.4.1.311.10.3.3",
      "2.16.840.1.113730.4.1"]),
])
def test_what_a_certificate_may_be_used_for(make, authority, usages, plain, extended) -> None:
    found = signed(plan(request(make, LEGACY, "anna", usages=usages), authority, make.now)).extensions
    assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
    bits = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign"]
    present = {type(one.value): one.value for one in found}
    usage = present.get(x509.KeyUsage)
    assert {bit for bit in bits if getattr(usage, bit, False)} == plain - {"encipher_only"}
    assert (usage is None) == (not plain)
    assert "encipher_only" not in plain or usage.encipher_only
    listed = present.get(x509.ExtendedKeyUsage, ())
    assert [one.dotted_string for one in listed] == extended


@pytest.mark.parametrize(("left", "problem"), [
    (timedelta(days=1), ""), (timedelta(seconds=2), ""), (timedelta(0), "refusing to sign a certificate that expired"),
    (timedelta(minutes=-4), "refusing to sign a certificate that expired"),
    (timedelta(minutes=-5), "the signer has expired"), (timedelta(days=-1), "the signer has expired"),
])
def test_nothing_holds_longer_than_the_authority(make, authority, tmp_path, left, problem) -> None:
    ends = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()).not_valid_after_utc
    asked = request(make, LEGACY, "anna", usages=CLIENT)
    if problem:
        with pytest.raises(ValueError, match=problem):
            plan(asked, authority, ends - left)
    else:
        assert signed(plan(asked, authority, ends - left)).not_valid_after_utc == ends


def test_nothing_is_signed_unapproved_denied_twice_or_for_strangers(make, authority) -> None:
    asked = request(make, LEGACY, "anna", usages=CLIENT)
    assert signed(plan(asked, authority, make.now))
    assert not plan({**asked, "status": {}}, authority, make.now)
    denied = [*asked["status"]["conditions"], {"type": "Denied", "status": "True"}]
    assert not plan({**asked, "status": {"conditions": denied}}, authority, make.now)
    failed = [*asked["status"]["conditions"], {"type": "Failed", "status": "True"}]
    assert not plan({**asked, "status": {"conditions": failed}}, authority, make.now)
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
    serving = request(make, KUBELET_SERVING, "system:node:a", "system:nodes", usages=SERVER, names=(HOST,))
    assert right_needed({**serving, "status": {}}) == ()


@pytest.mark.parametrize(("allowed", "own", "asked_of", "approved"), [
    ((), False, ["nodeclient"], False), ((), True, ["selfnodeclient", "nodeclient"], False),
    (("nodeclient",), False, ["nodeclient"], True), (("nodeclient",), True, ["selfnodeclient", "nodeclient"], True),
    (("selfnodeclient",), True, ["selfnodeclient"], True), (("selfnodeclient",), False, ["nodeclient"], False),
    (("selfnodeclient", "nodeclient"), None, [], False),
])
def test_the_authorizer_is_asked_until_it_allows(make, allowed, own, asked_of, approved) -> None:
    """`own`: a kubelet asks for itself; None: what it asks for is no kubelet's certificate."""
    asked = request(make, KUBELET_CLIENT, NODE, *NODES, usages=SERVER if own is None else CLIENT,
                    username=NODE if own else "system:bootstrap:x", groups=["g"], uid="u", extra={"e": ["f"]})
    asked["status"] = {}
    reviews: list[Object] = []

    class Authorizer:
        async def create(self, resource: object, review: Object) -> Object:
            reviews.append(review["spec"])
            return {"status": {"allowed": review["spec"]["resourceAttributes"]["subresource"] in allowed}}

    copies = SimpleNamespace(get_by_key=lambda key: asked)
    wiring = SimpleNamespace(client=Authorizer(), watch=lambda resource: copies)
    decided = run(CertificateApprover(wiring).reconcile("csr"))  # type: ignore[arg-type]
    assert [one["resourceAttributes"]["subresource"] for one in reviews] == asked_of
    assert all(one["groups"] == ["g"] and one["uid"] == "u" and one["extra"] == {"e": ["f"]} for one in reviews)
    assert bool(decided.steps) == approved
    assert (decided.requeue_after_s is not None) == (bool(asked_of) and not approved)


@pytest.mark.parametrize(("age_s", "after_s"), [(-3600, 1000), (0, 0.2), (3, 3), (600, 600), (9000, 1000)])
def test_who_may_not_yet_is_asked_about_after_as_long_as_it_has_waited(make, age_s, after_s) -> None:
    asked = {"metadata": {"creationTimestamp": text(make.now - timedelta(seconds=age_s))}}
    assert again(asked, make.now).requeue_after_s == after_s


def test_requests_go_an_hour_after_the_decision_or_a_day_without_one(make) -> None:
    asked = request(make, LEGACY, "anna", usages=CLIENT)
    assert certificate_cleaner.plan(asked, make.now + timedelta(days=9)) == NOTHING  # it waits for its signer
    asked["status"]["certificate"] = "bm90IG9uZQ=="
    assert certificate_cleaner.plan(asked, make.now).requeue_after_s == 3600
    assert certificate_cleaner.plan(asked, make.now + timedelta(hours=1)).steps
    asked["status"] = {}
    assert not certificate_cleaner.plan(asked, make.now + timedelta(hours=20)).steps
    assert certificate_cleaner.plan(asked, make.now + timedelta(hours=24)).steps


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(("age", "certificate", "conditions", "deleted"), [
    (timedelta(0), "valid", [("Approved", 50)], False), (timedelta(0), None, [("Approved", 120)], False),
    (timedelta(0), "valid", [("Approved", 120)], True), (timedelta(0), None, [("Denied", 50)], False),
    (timedelta(0), None, [("Denied", 120)], True), (timedelta(0), None, [("Approved", 120), ("Failed", 50)], False),
    (timedelta(0), None, [("Approved", 120), ("Failed", 120)], True), (5 * HOUR, None, [], False),
    (25 * HOUR, None, [], True), (timedelta(0), "expired", [("Approved", 50)], True),
    (timedelta(0), "garbage", [("Approved", 120)], True), (timedelta(0), "garbage", [("Approved", 50)], False),
])
def test_which_requests_have_served_their_purpose(make, authority, age, certificate, conditions, deleted) -> None:
    """Each condition with its age in minutes."""
    asked = request(make, LEGACY, "anna", usages=CLIENT, expirationSeconds=600)
    begins = make.now - (DAY if certificate == "expired" else timedelta(0))
    status: Object = {"conditions": [
        {"type": kind, "lastUpdateTime": text(make.now - timedelta(minutes=minutes))} for kind, minutes in conditions
    ]}
    if certificate == "garbage":
        status["certificate"] = base64.b64encode(b"garbage").decode()
    elif certificate:
        [update] = plan(asked, authority, begins).steps
        status["certificate"] = update.obj["status"]["certificate"]
    found = {**asked, "metadata": make.meta("r") | {"creationTimestamp": text(make.now - age)}, "status": status}
    assert bool(certificate_cleaner.plan(found, make.now).steps) == deleted

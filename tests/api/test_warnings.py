"""What authors of valid objects are told, in upstream's words."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sampan.api.kind import Kind
from sampan.api.kinds import KINDS
from sampan.api.warnings.pods import template_warnings

Document = dict[str, Any]
ARCH = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
ZONE = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
NO_SELECTOR = "a null labelSelector results in matching no pod"
PORT = {"containerPort": 80, "protocol": "TCP"}
HOST = {**PORT, "hostPort": 80}
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def kind_of(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.resource.kind == name and not kind.storage_resource)


def told(kind: str, new: Document, old: Document | None = None) -> list[str]:
    return list(kind_of(kind).warnings({"metadata": {"name": "x"}, **new}, old))


def of_spec(**spec: Any) -> list[str]:
    return list(template_warnings("", {"spec": spec}))


def of_container(**container: Any) -> list[str]:
    return of_spec(containers=[{"name": "a", **container}])


def of_ports(*containers: list[Document], kind: str = "containers", **more: Any) -> list[str]:
    return of_spec(**{kind: [{"ports": ports, **more} for ports in containers]})


def test_a_plain_pod_and_what_the_server_adds_to_it_are_beyond_doubt() -> None:
    token = {"name": "kube-api-access", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}}, {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace"}]}},
    ]}}
    assert of_spec(volumes=[token], terminationGracePeriodSeconds=30, containers=[
        {"name": "a", "ports": [PORT], "resources": {"limits": {"memory": "1.5Gi", "cpu": "100m"}},
         "env": [{"name": "A", "value": "1"}, {"name": "B"}]},
    ]) == []


def test_of_old_labels_of_nodes() -> None:
    expressions = {"matchExpressions": [{"key": "foo"}, {"key": "failure-domain.beta.kubernetes.io/zone"}]}
    required, preferred = (
        f"{when}DuringSchedulingIgnoredDuringExecution" for when in ("required", "preferred")
    )
    found = of_spec(nodeSelector={"beta.kubernetes.io/arch": "x"})
    assert found == [f"spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH}"]
    assert of_spec(affinity={"nodeAffinity": {
        required: {"nodeSelectorTerms": [expressions]}, preferred: [{"preference": expressions}],
    }}) == [
        f"spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[1].key: "
        f"failure-domain.beta.kubernetes.io/zone is {ZONE}",
        f"spec.affinity.nodeAffinity.{preferred}[0].preference.matchExpressions[1].key: "
        f"failure-domain.beta.kubernetes.io/zone is {ZONE}",
    ]
    assert of_spec(topologySpreadConstraints=[{"topologyKey": "beta.kubernetes.io/arch"}]) == [
        f"spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/arch is {ARCH}",
        f"spec.topologySpreadConstraints[0].labelSelector: {NO_SELECTOR}",
    ]
    assert told("RuntimeClass", {"scheduling": {"nodeSelector": {"beta.kubernetes.io/arch": "x"}}}) == [
        f"scheduling.nodeSelector: {ARCH}"
    ]


def test_of_affinity_that_matches_nothing() -> None:
    required, preferred = (f"{when}DuringSchedulingIgnoredDuringExecution" for when in ("required", "preferred"))
    terms = {required: [{"labelSelector": {}}, {}],
             preferred: [{"podAffinityTerm": {"labelSelector": {}}}, {"podAffinityTerm": {}}]}
    assert of_spec(affinity={"podAffinity": terms, "podAntiAffinity": terms}) == [
        f"spec.affinity.{kind}.{where}labelSelector: {NO_SELECTOR}" for kind in ("podAffinity", "podAntiAffinity")
        for where in (f"{required}[1].", f"{preferred}[1].podAffinityTerm.")
    ]
    assert of_spec(affinity={"nodeAffinity": {
        preferred: [{"preference": {"matchExpressions": [{"key": "foo", "operator": "In", "values": ["-1"]}]}}],
    }}) == [
        f"spec.affinity.nodeAffinity.{preferred}[0].preference.matchExpressions[0].values[0]: -1 is invalid, "
        f"{LABEL_VALUE}"
    ]


@pytest.mark.parametrize(("name", "field", "words"), [
    ("scheduler.alpha.kubernetes.io/critical-pod", "priorityClassName", "non-functional in v1.16+"),
    ("security.alpha.kubernetes.io/sysctls", "sysctls", "non-functional in v1.11+"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "sysctls", "non-functional in v1.11+"),
    ("seccomp.security.alpha.kubernetes.io/pod", "seccompProfile", "non-functional in v1.27+"),
    ("container.seccomp.security.alpha.kubernetes.io/a", "seccompProfile", "non-functional in v1.27+"),
    ("container.apparmor.security.beta.kubernetes.io/a", "appArmorProfile", "deprecated since v1.30"),
])
def test_of_annotations_that_became_fields(name: str, field: str, words: str) -> None:
    def warnings(context: Document) -> list[str]:
        return list(template_warnings("spec.template.", {
            "metadata": {"annotations": {name: "x"}},
            "spec": {"securityContext": context, "containers": [{"name": "a", "securityContext": context}]},
        }))

    expected = [f'spec.template.metadata.annotations[{name}]: {words}; use the "{field}" field instead']
    assert warnings({}) == expected
    assert warnings({field: {"type": "RuntimeDefault"}}) == ([] if field.endswith("Profile") else expected)


@pytest.mark.parametrize(("plugin", "words"), [
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
])
def test_of_volumes_that_nobody_mounts_any_more(plugin: str, words: str) -> None:
    assert of_spec(volumes=[{"name": "v", plugin: {}}]) == [f"spec.volumes[0].{plugin}: {words}"]


@pytest.mark.parametrize(("volume", "expected"), [
    ({"configMap": {"name": "m", "items": [{"path": "a"}, {"path": "b"}, {"path": "a/"}]}},
     ['volume "v" (ConfigMap "m"): overlapping paths: "a" with "a"']),
    ({"secret": {"secretName": "s", "items": [{"path": "a/b"}, {"path": "a"}]}},
     ['volume "v" (Secret "s"): overlapping paths: "a" with "a/b"']),
    ({"downwardAPI": {"items": [{"path": "a"}, {"path": "ab"}, {"path": "a/b"}]}},
     ['volume "v" (DownwardAPI): overlapping paths: "a/b" with "a"']),
    ({"projected": {"sources": [{"clusterTrustBundle": {"signerName": "t", "path": "d/d"}},
                                {"secret": {"name": "s", "items": [{"path": "d"}]}},
                                {"serviceAccountToken": {"path": "d"}}, {}]}},
     ['volume "v" (Projected) has no sources provided',
      'volume "v" (Projected): overlapping paths: "d" (Secret "s") with "d/d" (ClusterTrustBundle "t")',
      'volume "v" (Projected): overlapping paths: "d" (ServiceAccountToken) with "d/d" (ClusterTrustBundle "t")',
      'volume "v" (Projected): overlapping paths: "d" (ServiceAccountToken) with "d" (Secret "s")']),
    ({"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "200m"}}}}}},
     ['spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "200m" is '
      "invalid, must be an integer"]),
])
def test_of_what_is_in_a_volume(volume: Document, expected: list[str]) -> None:
    assert of_spec(volumes=[{"name": "v", **volume}]) == expected


def test_of_repetitions() -> None:
    assert of_spec(
        hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}, {"ip": "::ffff:1.2.3.4"}],
        imagePullSecrets=[{"name": "a"}, {"name": "a"}, {"name": ""}],
        dnsConfig={"nameservers": ["1.2.3.4", "05.06.07.08", "2001:DB8::1"]},
    ) == [
        'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
        'spec.hostAliases[2].ip: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future '
        'Kubernetes release: use "1.2.3.4"',
        'spec.imagePullSecrets[1].name: duplicate name "a"',
        'spec.imagePullSecrets[2].name: invalid empty name ""',
        'spec.dnsConfig.nameservers[1]: non-standard IP address "05.06.07.08" will be considered invalid in a future '
        'Kubernetes release: use "5.6.7.8"',
        'spec.dnsConfig.nameservers[2]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format '
        '("2001:db8::1")',
    ]
    values: list[Document] = [{"value": "a"}, {"value": "a"}, {"value": ""}, {"value": "$(a)"}, {"valueFrom": {}},
                              {"value": "$(a) $(a)"}]
    assert of_container(env=[{"name": "a", **one} for one in values]) == [
        f'spec.containers[0].env[{position}]: hides previous definition of "a", which may be dropped when using apply'
        for position in range(1, 5)
    ]


def test_of_parts_of_bytes_and_negative_patience() -> None:
    amounts = {"memory": "4m", "ephemeral-storage": "0.5", "cpu": "4m"}
    words = 'fractional byte value "{}" is invalid, must be an integer'
    assert of_container(resources={"limits": amounts, "requests": {"memory": "2.5k"}}) == [
        f"spec.containers[0].resources.limits[memory]: {words.format('4m')}",
        f"spec.containers[0].resources.limits[ephemeral-storage]: {words.format('0.5')}",
    ]
    assert of_spec(overhead=amounts) == [
        f"spec.overhead[memory]: {words.format('4m')}", f"spec.overhead[ephemeral-storage]: {words.format('0.5')}",
    ]
    assert of_spec(terminationGracePeriodSeconds=-1) == [
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    ]


@pytest.mark.parametrize(("first", "second", "words"), [
    (PORT, PORT, "duplicate"), (HOST, HOST, "duplicate"),
    ({**HOST, "hostIP": "10.0.0.1"}, {**HOST, "hostIP": "10.0.0.1"}, "duplicate"),
    (HOST, PORT, "overlapping"), (HOST, {**HOST, "hostIP": "10.0.0.2"}, "dangerously ambiguous"),
    (HOST, {**HOST, "hostPort": 81}, ""), (PORT, {**PORT, "protocol": "UDP"}, ""),
    (PORT, {**PORT, "containerPort": 81}, ""),
    ({**HOST, "hostIP": "10.0.0.1"}, {**HOST, "hostIP": "10.0.0.2"}, ""),
])
def test_of_ports_in_each_others_way(first: Document, second: Document, words: str) -> None:
    found = f"spec.containers[0].ports[1]: {words} port definition with spec.containers[0].ports[0]"
    expected = [found] if words else []
    assert of_ports([first, second]) == expected
    assert of_ports([first], [second]) == [one.replace("[0].ports[1]", "[1].ports[0]") for one in expected]


def test_of_ports_names_and_addresses() -> None:
    named = [{**PORT, "name": "n"}], [{**PORT, "containerPort": 81, "name": "n"}]
    for kind, more in (("containers", {}), ("initContainers", {"restartPolicy": "Always"})):
        first = f"spec.{kind}[0].ports[0]"
        assert of_ports(*named, kind=kind, **more) == [
            f'spec.{kind}[1].ports[0]: duplicate port name "n" with {first}, services and probes that select ports by '
            f"name will use {first}"
        ]
    assert of_ports(*named, kind="initContainers") == []
    assert of_ports([{**PORT, "hostIP": "10.0.0.1"}]) == [
        "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP "
        "HostIP:10.0.0.1}"
    ]


BAD_TEMPLATE = {"spec": {"terminationGracePeriodSeconds": -1}}
NEGATIVE = "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"


@pytest.mark.parametrize(("kind", "document", "where", "named"), [
    ("Deployment", {"spec": {"template": BAD_TEMPLATE}}, "spec.template.", True),
    ("ReplicaSet", {"spec": {"template": BAD_TEMPLATE}}, "spec.template.", True),
    ("ReplicationController", {"spec": {"template": BAD_TEMPLATE}}, "spec.template.", True),
    ("DaemonSet", {"spec": {"template": BAD_TEMPLATE}}, "spec.template.", False),
    ("StatefulSet", {"spec": {"template": BAD_TEMPLATE}}, "spec.template.", False),
    ("Job", {"spec": {"template": BAD_TEMPLATE}}, "spec.template.", True),
    ("CronJob", {"spec": {"jobTemplate": {"spec": {"template": BAD_TEMPLATE}}}}, "spec.jobTemplate.spec.template.",
     True),
])
def test_of_templates_while_they_are_new(kind: str, document: Document, where: str, named: bool) -> None:
    first, second = ({"metadata": {"name": "x", "generation": number}, **document} for number in (1, 2))
    assert told(kind, first) == told(kind, second, first) == [where + NEGATIVE]
    assert told(kind, first, first) == []
    words = told(kind, {**first, "metadata": {"name": "a.b"}})[:-1]
    assert [one[:49] for one in words] == (["metadata.name: this is used in Pod names and host"] if named else [])


def test_of_a_new_pod_only() -> None:
    pod = {"metadata": {"name": "a.b"}, **BAD_TEMPLATE}
    name, patience = told("Pod", pod)
    assert patience == NEGATIVE
    assert name.startswith("metadata.name: this is used in the Pod's hostname, which can result in surprising "
                           "behavior; a DNS label is recommended: [a lowercase RFC 1123 label must consist of")
    assert told("Pod", pod, pod) == []
    assert told("PodTemplate", {"template": BAD_TEMPLATE}) == ["template." + NEGATIVE]


@pytest.mark.parametrize(("kind", "new", "expected"), [
    ("StatefulSet", {"spec": {"revisionHistoryLimit": -1, "volumeClaimTemplates": [
        {"spec": {"resources": {"requests": {"storage": "1m"}}}}]}},
     ['spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: fractional byte value "1m" is invalid, must be '
      "an integer", "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
      "recommended"]),
    ("Job", {"spec": {"completionMode": "Indexed", "completions": 100001, "parallelism": 10001}},
     ["spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
      "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"]),
    ("CronJob", {"spec": {"schedule": "TZ=UTC * * * * *"}},
     ["CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see "
      "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"]),
    ("Service", {"spec": {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"],
                          "sessionAffinity": "ClientIP", "externalIPs": ["1.2.3.4"], "loadBalancerIP": "1.2.3.4"}},
     [f"spec.{field} is ignored for headless services"
      for field in ("loadBalancerIP", "externalIPs", "SessionAffinity")]),
    ("Service", {"spec": {"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "None"}}, []),
    ("Service", {"spec": {"type": "ExternalName", "externalName": "x.example", "externalIPs": ["1.2.3.4"]}},
     ['spec.externalIPs is ignored when spec.type is "ExternalName"']),
    ("Service", {"spec": {"type": "ClusterIP", "externalName": "x.example"}},
     ['spec.externalName is ignored when spec.type is not "ExternalName"']),
    ("Service", {"spec": {"trafficDistribution": "PreferClose"}},
     ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']),
    ("Service", {"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}}, "spec": {
        "clusterIPs": ["FD00::1"], "externalIPs": ["1.2.03.4"], "loadBalancerSourceRanges": ["10.0.0.1/8"]}},
     ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
      "service.kubernetes.io/topology-mode instead",
      'spec.clusterIPs[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")',
      'spec.externalIPs[0]: non-standard IP address "1.2.03.4" will be considered invalid in a future Kubernetes '
      'release: use "1.2.3.4"',
      'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" '
      'or "10.0.0.1/32"?)']),
    ("NetworkPolicy", {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "FD00::/8", "except": ["fd01::/16"]}}]}]}},
     ['spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format '
      '("fd00::/8")']),
    ("Endpoints", {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "notReadyAddresses": [{"ip": "01.2.3.4"}]}]},
     ['subsets[0].notReadyAddresses[0].ip: non-standard IP address "01.2.3.4" will be considered invalid in a future '
      'Kubernetes release: use "1.2.3.4"']),
    ("EndpointSlice", {"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]},
     ["spec.addressType: FQDN endpoints are deprecated"]),
    ("EndpointSlice", {"addressType": "IPv6", "endpoints": [{"addresses": ["FD00::1"]}]},
     ['endpoints[0].addresses[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")']),
    ("EndpointSlice", {"addressType": "IPv6", "endpoints": [{"addresses": ["FD00::1"]}], "metadata": {"labels": {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}}, []),
    ("Ingress", {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}},
     ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]),
    ("PersistentVolumeClaim", {"spec": {"resources": {"limits": {"storage": "1m"}}},
                               "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}},
     ["metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" "
      "attribute instead",
      'spec.resources.limits[storage]: fractional byte value "1m" is invalid, must be an integer']),
    ("PersistentVolume", {"spec": {"persistentVolumeReclaimPolicy": "Recycle", "rbd": {}}},
     ["spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
      "is to use dynamic provisioning.", "spec.rbd: deprecated in v1.28, non-functional in v1.31+"]),
    ("StorageClass", {"allowedTopologies": [{"matchLabelExpressions": [{"key": "beta.kubernetes.io/arch"}]}]},
     [f"allowedTopologies[0].matchLabelExpressions[0].key: beta.kubernetes.io/arch is {ARCH}"]),
    ("CSIStorageCapacity", {"nodeTopology": {"matchLabels": {"beta.kubernetes.io/arch": "x"}}},
     [f"nodeTopology.matchLabels.beta.kubernetes.io/arch: {ARCH}"]),
    ("Node", {"spec": {"configSource": {}, "externalID": "x"}},
     ["spec.configSource: the feature is removed",
      "spec.externalID: this field is deprecated, and is unused by Kubernetes"]),
])
def test_of_other_kinds(kind: str, new: Document, expected: list[str]) -> None:
    assert told(kind, new) == expected


def test_an_account_is_told_once() -> None:
    account = {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    assert told("ServiceAccount", account) == told("ServiceAccount", account, {"metadata": {}}) == [
        "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
        "namespaces to isolate access to mounted secrets"
    ]
    assert told("ServiceAccount", account, account) == []


def _key_pair(key: Any) -> tuple[bytes, bytes]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    start = datetime.datetime(2026, 1, 1)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(1)).sign(
        key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def test_of_certificates_and_keys() -> None:
    one, another, of_rsa = (_key_pair(key) for key in (
        ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ))
    junk = b"-----BEGIN JUNK-----\n-----END JUNK-----\n"
    for certificate, key, why in (
        (*one, ""), (one[0], another[1], "tls: private key does not match public key"),
        (one[0], of_rsa[1], "tls: private key type does not match public key type"),
        (b"", one[1], "tls: failed to find any PEM data in certificate input"),
        (one[0], b"x", "tls: failed to find any PEM data in key input"),
        (one[0], one[0], "tls: found a certificate rather than a key in the PEM for the private key"),
        (one[1], one[0], "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
                         "PEM inputs may have been switched"),
        (junk, one[1], 'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of '
                       "the following types: [JUNK]"),
        (one[0], junk, 'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping '
                       "PEM blocks of the following types: [JUNK]"),
    ):
        data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
        expected = [why] if why else []
        assert told("Secret", {"type": "kubernetes.io/tls", "data": data}) == expected, why
        assert told("Secret", {"type": "Opaque", "data": data}) == []


def test_of_formats_in_schemas_that_nobody_checks() -> None:
    def definition(*formats: str) -> Document:
        properties = {f"p{number}": {"format": name} for number, name in enumerate(formats)}
        items = {"properties": properties, "allOf": [{"format": "odd"}]}
        schema = {"properties": {"spec": {"type": "array", "items": items}}}
        return {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}

    new = definition("int64", "date-time", "k8s-short-name", "int64", "int32")
    assert told("CustomResourceDefinition", new) == [
        'unrecognized format "odd"', 'unrecognized format "int64"', 'unrecognized format "int32"',
    ]
    assert told("CustomResourceDefinition", new, definition("int64")) == ['unrecognized format "int32"']

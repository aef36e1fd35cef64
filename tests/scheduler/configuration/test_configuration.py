"""KubeSchedulerConfiguration: what is in force, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.scheduler.config import Profile
from sampan.scheduler.configuration.configuration import Configuration, from_document, load
from sampan.scheduler.configuration.extender import ExtenderConfig, ManagedResource
from sampan.scheduler.configuration.fields import ConfigurationError
from sampan.scheduler.plugins.table import SCHEDULER_PLUGINS


def read(text: str = "", **fields: Any) -> Configuration:
    head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    return from_document({**head, **(yaml.safe_load(text) or {}), **fields})


def errors(text: str = "", **fields: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text, **fields)
    return [*map(str, caught.value.errors)] or [str(caught.value)]


def enabled(profile: Profile, point: str) -> dict[str, int]:
    """The plugins at a point, in order, with their weights."""
    assert profile.plugins is not None
    return {choice.name: choice.weight for choice in profile.plugins if choice.points is None or point in choice.points}


def test_defaults() -> None:
    configuration = read()
    [profile] = configuration.profiles
    assert profile.scheduler_name == "default-scheduler"
    assert profile.plugins is None
    assert profile.arguments["DefaultPreemption"] == {
        "minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 100,
    }
    assert profile.arguments["NodeResourcesFit"]["scoringStrategy"] == {
        "type": "LeastAllocated", "resources": [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}],
    }
    assert profile.arguments["PodTopologySpread"]["defaultingType"] == "System"
    assert profile.arguments["VolumeBinding"]["bindTimeoutSeconds"] == 600
    assert (configuration.pod_initial_backoff_s, configuration.pod_max_backoff_s) == (1.0, 10.0)
    election = configuration.leader_election
    assert (election.leader_elect, election.resource_namespace, election.resource_name) == (
        True, "kube-system", "kube-scheduler",
    )


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\npodMaxBackoffSeconds: 60\n"
        "leaderElection: {leaderElect: false}\nclientConnection: {kubeconfig: /etc/scheduler.conf, qps: 100}\n"
        "percentageOfNodesToScore: 50\n"
    )
    configuration = load(file)
    assert configuration.pod_max_backoff_s == 60
    assert configuration.client_connection.kubeconfig == "/etc/scheduler.conf"
    assert not configuration.leader_election.leader_elect


def test_a_plugin_is_disabled_everywhere_or_at_one_point() -> None:
    [profile] = read("""
profiles:
- plugins:
    multiPoint: {disabled: [{name: ImageLocality}]}
    score: {disabled: [{name: PodTopologySpread}]}
""").profiles
    assert "ImageLocality" not in enabled(profile, "score")
    assert "PodTopologySpread" not in enabled(profile, "score")
    assert "PodTopologySpread" in enabled(profile, "filter")


def test_a_star_disables_all() -> None:
    [profile] = read("""
profiles:
- plugins:
    score: {disabled: [{name: "*"}], enabled: [{name: NodeAffinity, weight: 7}]}
""").profiles
    assert enabled(profile, "score") == {"NodeAffinity": 7}
    assert "TaintToleration" in enabled(profile, "filter")


def test_only_what_is_enabled_under_multi_point_is_left_when_all_is_disabled_there() -> None:
    [profile] = read("""
profiles:
- plugins:
    multiPoint:
      disabled: [{name: "*"}]
      enabled: [{name: PrioritySort}, {name: NodeResourcesFit}, {name: DefaultBinder}]
""").profiles
    assert enabled(profile, "filter") == {"PrioritySort": 1, "NodeResourcesFit": 1, "DefaultBinder": 1}


def test_a_default_plugin_that_is_enabled_anew_keeps_its_place_and_gets_the_weight() -> None:
    [profile] = read("""
profiles:
- plugins: {multiPoint: {enabled: [{name: Mine, weight: 2}, {name: TaintToleration, weight: 9}]}}
""").profiles
    names = list(enabled(profile, "score"))
    assert names == [*(entry.name for entry in SCHEDULER_PLUGINS), "Mine"]
    assert enabled(profile, "score")["TaintToleration"] == 9


def test_plugins_of_a_point_come_first_if_they_are_under_multi_point_too_and_last_if_not() -> None:
    [profile] = read("""
profiles:
- plugins:
    multiPoint: {disabled: [{name: "*"}], enabled: [{name: PrioritySort}, {name: NodeName}, {name: NodePorts}]}
    filter: {enabled: [{name: Mine}, {name: NodePorts}]}
""").profiles
    assert list(enabled(profile, "filter")) == ["NodePorts", "PrioritySort", "NodeName", "Mine"]


def test_several_profiles_have_their_own_plugins_and_arguments() -> None:
    one, other = read("""
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu}]}}
  - name: Mine
    args: {anything: [1]}
""").profiles
    assert one.arguments["NodeResourcesFit"]["scoringStrategy"]["type"] == "LeastAllocated"
    strategy = other.arguments["NodeResourcesFit"]["scoringStrategy"]
    assert strategy == {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}
    assert other.arguments["Mine"] == {"anything": [1]}


def test_extenders_are_read() -> None:
    [extender] = read("""
extenders:
- urlPrefix: https://127.0.0.1:8888/scheduler
  filterVerb: filter
  prioritizeVerb: prioritize
  weight: 5
  httpTimeout: 30s
  nodeCacheCapable: true
  managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]
  ignorable: true
  tlsConfig: {insecure: true}
""").extenders
    assert extender == ExtenderConfig(
        "https://127.0.0.1:8888/scheduler", "filter", "", "prioritize", "", 5, False, extender.tls, 30.0, True,
        (ManagedResource("example.com/gpu", True),), True,
    )
    assert extender.tls is not None and extender.tls.insecure


def test_unknown_fields_are_named() -> None:
    assert errors("{profiles: [{plugin: {}}], leaderElection: {leader: true}}") == [
        '[unknown field "leaderElection.leader", unknown field "profiles[0].plugin"]'
    ]


def test_another_kind_or_version_is_refused() -> None:
    assert errors(apiVersion="kubescheduler.config.k8s.io/v1beta3") == [
        'kind: Invalid value: ["kubescheduler.config.k8s.io/v1beta3","KubeSchedulerConfiguration"]: expected '
        "KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1"
    ]


@pytest.mark.parametrize(("text", "expected"), [
    ("parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero"),
    ("parallelism: many", 'parallelism: Invalid value: "many": must be an integer'),
    ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
    ("podInitialBackoffSeconds: 0", "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
    ("podMaxBackoffSeconds: 0", "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to "
                                "PodInitialBackoffSeconds"),
    ("profiles: [{}, {schedulerName: a}]", "profiles[0].schedulerName: Required value"),
    ("profiles: [{schedulerName: a}, {schedulerName: a}]",
     'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"'),
    ("clientConnection: {burst: -1}", "clientConnection.burst: Invalid value: -1: must be non-negative"),
    ("leaderElection: {leaseDuration: 5s}",
     'leaderElection.leaseDuration: Invalid value: "10s": LeaseDuration must be greater than RenewDeadline'),
    ("leaderElection: {renewDeadline: 1s}",
     'leaderElection.renewDeadline: Invalid value: "2s": RenewDeadline must be greater than RetryPeriod'),
    ("leaderElection: {resourceLock: endpoints}",
     'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"'),
    ("leaderElection: {retryPeriod: soon}", 'leaderElection.retryPeriod: Invalid value: "soon": time: invalid '
                                            'duration "soon"'),
    ("extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]",
     "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"),
    ("extenders: [{urlPrefix: 'http://x', managedResources: [{name: cpu}]}]",
     'extenders[0].managedResources[0].name: Invalid value: "cpu": cpu is an invalid extended resource name'),
    ("extenders: [{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}]",
     'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind'),
    ("profiles: [{pluginConfig: [{name: A}, {name: A}]}]", 'profiles[0].pluginConfig[1]: Duplicate value: "A"'),
])
def test_a_mistake_is_named(text: str, expected: str) -> None:
    assert errors(text) == [expected]


ARGUMENTS = "profiles[0].pluginConfig[0].args"


@pytest.mark.parametrize(("plugin", "arguments", "expected"), [
    ("DefaultPreemption", {"minCandidateNodesPercentage": 101},
     "minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]"),
    ("InterPodAffinity", {"hardPodAffinityWeight": -1},
     "hardPodAffinityWeight: Invalid value: -1: not in valid range [0, 100]"),
    ("NodeResourcesFit", {"ignoredResourceGroups": ["a/b"]},
     "ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'"),
    ("NodeResourcesFit", {"scoringStrategy": {"type": "Best"}},
     'scoringStrategy.type: Unsupported value: "Best": supported values: "LeastAllocated", "MostAllocated", '
     '"RequestedToCapacityRatio"'),
    ("NodeResourcesFit", {"scoringStrategy": {"resources": [{"name": "cpu", "weight": 101}]}},
     "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]"),
    ("NodeResourcesFit", {"scoringStrategy": {
        "type": "RequestedToCapacityRatio",
        "requestedToCapacityRatio": {"shape": [{"utilization": 50, "score": 1}, {"utilization": 50, "score": 2}]},
    }}, "scoringStrategy.shape[1].utilization: Invalid value: 50: values must be sorted in "
        "increasing order"),
    ("NodeResourcesBalancedAllocation", {"resources": [{"name": "cpu", "weight": 2}]},
     "resources[0].weight: Invalid value: 2: must be 1"),
    ("NodeAffinity", {"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}],
    }}}, "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]"
         '.operator: Invalid value: "Near": not a valid selector operator'),
    ("PodTopologySpread", {"defaultConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
    ]}, 'defaultingType: Invalid value: "System": when .defaultConstraints are not empty'),
    ("PodTopologySpread", {"defaultingType": "List", "defaultConstraints": [
        {"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
    ]}, "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)"),
    ("VolumeBinding", {"bindTimeoutSeconds": -1},
     "bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value"),
])
def test_a_mistake_in_arguments_is_named(plugin: str, arguments: dict[str, Any], expected: str) -> None:
    profiles = [{"pluginConfig": [{"name": plugin, "args": arguments}]}]
    assert errors(profiles=profiles) == [f"{ARGUMENTS}.{expected}"]


def test_arguments_must_be_the_plugins_own() -> None:
    args = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "VolumeBindingArgs"}
    assert errors(profiles=[{"pluginConfig": [{"name": "NodeAffinity", "args": args}]}]) == [
        f'{ARGUMENTS}: Invalid value: "VolumeBindingArgs": has to match plugin args'
    ]


def test_all_mistakes_are_reported_at_once() -> None:
    assert len(errors("{parallelism: -1, podInitialBackoffSeconds: -1, extenders: [{}]}")) == 3


def test_profiles_must_sort_the_queue_alike() -> None:
    assert errors("""
profiles:
- schedulerName: a
- schedulerName: b
  plugins: {queueSort: {enabled: [{name: Mine}], disabled: [{name: "*"}]}}
""") == ['profiles[1].plugins.queueSort: Invalid value: ["Mine"]: has to match for all profiles']

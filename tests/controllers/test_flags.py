"""Flags of the controller manager: what they set, what they refuse, and that what they set is done."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sampan.apimachinery.http import Request, Response
from sampan.client.client import Client
from sampan.controllers import flags
from sampan.controllers.component_config import _PLACES, configz
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.flags import FLAGS
from sampan.controllers.manager import make_manager


class Nowhere:
    """Nothing is asked before a manager runs."""

    async def request(self, request: Request) -> Response:
        raise AssertionError("nothing may be asked")

    async def close(self) -> None: ...


BASE = ControllerManagerConfig()


def parsed(*words: str) -> ControllerManagerConfig:
    return flags.parsed(words, BASE)


def test_without_flags_all_is_as_it_was() -> None:
    assert parsed() == BASE


def test_each_kind_of_value_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"PEM")
    config = parsed(
        "--node-monitor-grace-period=1m30s", "--node-eviction-rate=0.5", "--terminated-pod-gc-threshold=-1",
        "--allocate-node-cidrs=false", "--leader-elect", f"--root-ca-file={tmp_path / 'ca.crt'}",
        "--horizontal-pod-autoscaler-tolerance=0.05", "--leader-elect-lease-duration=30s", "--concurrent-job-syncs=9",
    )
    assert (config.node_monitor_grace_s, config.node_eviction_per_s, config.terminated_pod_threshold) == (90, 0.5, -1)
    assert (config.allocate_node_cidrs, config.leader_elect, config.root_ca) == (False, True, b"PEM")
    assert config.autoscaling.tolerance == 0.05 and config.autoscaling.sync_period_s == 15
    assert config.lease.lease_s == 30 and config.lease.renew_deadline_s == 10
    assert config.workers == {"job-controller": 9}


@pytest.mark.parametrize(("word", "complaint"), [
    ("--concurrent-gc-syncs=0", "'0' must be at least 1"),
    ("--node-monitor-period=0s", "'0s' must be greater than zero"),
    ("--node-eviction-rate=nan", "'nan' is no number from 0 on"),
    ("--horizontal-pod-autoscaler-sync-period=-5s", "'-5s' is less than nothing"),
    ("--leader-elect=maybe", "'maybe' is neither true nor false"),
    ("--leader-elect-lease-duration=1500ms", "'1500ms' is not a number of whole seconds"),
    ("--root-ca-file=/nonexistent/ca.crt", "No such file"),
    ("--controllers=*,-nonsense", "'nonsense' is not in the list of known controllers"),
    ("--cluster-cidr=10.0.0.0/33", "10.0.0.0/33"),
    ("--cluster-signing-key-file=ca.key", "go together"),
    ("--node-monitor-grace-period=5s", "must be greater than --node-monitor-period"),
    ("--leader-elect-lease-duration=10s", "must be greater than --leader-elect-renew-deadline"),
    ("--leader-elect-retry-period=9s", "must be greater than 1.2 times"),
    ("--node-monitor-grace=20s", "unrecognized arguments"),
])
def test_what_makes_no_sense_is_refused(word: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("*", r"\*").replace("(", r"\(")):
        parsed(word)


def test_every_flag_is_shown_under_its_name_with_what_holds() -> None:
    found = flags.shown(parsed("--concurrent-job-syncs=9", "--node-monitor-grace-period=90s"))
    assert found.keys() == {flag.name for flag in FLAGS}
    assert found["node-monitor-grace-period"] == "1m30s"
    assert (found["concurrent-job-syncs"], found["concurrent-gc-syncs"]) == ("9", "20")
    assert found["cluster-signing-duration"] == "8760h0m0s"
    assert found["allocate-node-cidrs"] == "true"


def test_what_is_shown_can_be_given_again() -> None:
    said = [f"--{name}={value}" for name, value in flags.shown(BASE).items() if value]
    again = parsed(*said)
    assert flags.shown(again) == flags.shown(BASE)


def test_help_states_the_defaults() -> None:
    parser = argparse.ArgumentParser()
    flags.add_to(parser, defaults=BASE)
    text = " ".join(parser.format_help().split())
    assert "how long a node may be silent (default 50s)" in text


def test_as_many_keys_are_worked_on_at_a_time_as_the_flag_says() -> None:
    config = parsed("--controllers=job,deployment", "--concurrent-job-syncs=9")
    found = {one.name: one.workers for one in make_manager(Client(Nowhere()), config).controllers}
    assert found == {"job-controller": 9, "deployment-controller": 5}


def test_names_may_have_underscores() -> None:
    assert parsed("--concurrent_rc_syncs=3", "--leader_elect").workers == {"replicationcontroller-controller": 3}


def test_configz_has_every_setting_where_upstream_has_it() -> None:
    found = configz(parsed("--concurrent-job-syncs=9", "--controllers=*,-job", "--leader-elect"))
    config = found["kubecontrollermanager.config.k8s.io"]
    assert config["Generic"]["Controllers"] == ["*", "-job"]
    assert config["Generic"]["LeaderElection"] == {
        "LeaderElect": True, "LeaseDuration": "15s", "RenewDeadline": "10s", "RetryPeriod": "2s",
        "ResourceLock": "leases", "ResourceName": "kube-controller-manager", "ResourceNamespace": "kube-system",
    }
    assert config["JobController"] == {"ConcurrentJobSyncs": 9}
    assert config["PodGCController"] == {"TerminatedPodGCThreshold": 12500}
    assert config["HPAController"]["HorizontalPodAutoscalerSyncPeriod"] == "15s"
    assert config["KubeCloudShared"]["AllocateNodeCIDRs"] is True
    unplaced = {flag.name for flag in FLAGS} - {name for fields in _PLACES.values() for name in fields}
    assert unplaced == {"root-ca-file", "concurrent-resource-claim-syncs", "concurrent-device-taint-eviction-syncs"}

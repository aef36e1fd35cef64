"""What `sampan why` prints."""

from __future__ import annotations

import pytest

from sampan.cli.operations import FailedAttempt, OperationError, PlacementReport, PlacementRow
from sampan.cli.why import lines, pod_name

REPORT = PlacementReport(
    "pod default/web waits: 5 of 5 nodes refuse it",
    "0/5 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, 4 Insufficient cpu.",
    (
        PlacementRow(("n5",), "TaintToleration", "node(s) had untolerated taint {dedicated: db}",
                     ("tolerate dedicated=db:NoSchedule",)),
        PlacementRow(("n5",), "NodePorts", "node(s) didn't have free ports for the requested pod ports", ()),
        PlacementRow(("n1", "n2", "n3", "n4"), "NodeResourcesFit", "Insufficient cpu",
                     ("500m cpu more: 1 asked, 500m of 4 free",)),
    ),
    "n5", ("tolerate dedicated=db:NoSchedule",), True,
)

PRINTED = """\
pod default/web waits: 5 of 5 nodes refuse it
the scheduler said: 0/5 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, 4
                    Insufficient cpu.

NODE           PLUGIN            REASON                            WHAT WOULD HELP
n5             TaintToleration   node(s) had untolerated taint     tolerate dedicated=db:NoSchedule
                                 {dedicated: db}
               NodePorts         node(s) didn't have free ports    -
                                 for the requested pod ports
n1 and 3 more  NodeResourcesFit  Insufficient cpu                  500m cpu more: 1 asked, 500m of 4
                                                                   free

smallest change, on n5 (tried on paper: the pod then fits):
  - tolerate dedicated=db:NoSchedule"""


def test_a_report_reads_as_a_table_and_a_recommendation() -> None:
    assert "\n".join(lines(REPORT, width=100)) == PRINTED


def test_what_the_scheduler_saw_comes_before_what_is_now() -> None:
    seen = FailedAttempt(3, "2026-01-01T00:00:05Z", "0/2 nodes are available: 2 Insufficient cpu.", (
        PlacementRow(("n1", "n2"), "NodeResourcesFit", "Insufficient cpu", ()),
    ))
    rows = (PlacementRow(("n1",), "NodeResourcesFit", "Insufficient cpu", ("1 cpu more",)),)
    report = PlacementReport("pod default/web waits: 1 of 1 nodes refuse it", "0/2 …", rows, attempt=seen)
    assert list(lines(report, width=100)) == [
        "pod default/web waits: 1 of 1 nodes refuse it",
        "attempt 3 at 2026-01-01T00:00:05Z: 0/2 nodes are available: 2 Insufficient cpu.",
        "",
        "NODE    REFUSED BY        REASON",
        "n1, n2  NodeResourcesFit  Insufficient cpu",
        "",
        "now, asking every plugin:",
        "NODE  PLUGIN            REASON            WHAT WOULD HELP",
        "n1    NodeResourcesFit  Insufficient cpu  1 cpu more",
    ]


def test_a_placed_pod_is_one_line() -> None:
    assert list(lines(PlacementReport("pod default/web is on n1"), width=100)) == ["pod default/web is on n1"]


@pytest.mark.parametrize("target", ["web", "deployment/web", "pod/"])
def test_only_pods_can_be_explained(target: str) -> None:
    with pytest.raises(OperationError, match="cannot be explained"):
        pod_name(target)

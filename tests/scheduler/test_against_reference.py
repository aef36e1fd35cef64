"""What the scheduler decides, compared with the slow reference on generated clusters.

The chosen node fits and no node that fits has a better total score; among equals chance may choose any.
"""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.scheduler.generated import NODES, Generator
from tests.scheduler.reference import preemption, rules
from tests.scheduler.reference.cluster import Cluster, Document, key
from tests.scheduler.subject import Subject

many = settings(max_examples=600, deadline=None)
seeds = st.integers(0, 2**32)
node_counts, pod_counts = st.integers(1, len(NODES)), st.integers(0, 12)


def agree(cluster: Cluster, subject: Subject, pod: Document) -> str:
    """Both say the same of a pod; where it goes."""
    placement = subject.decide(pod)
    feasible = rules.feasible(cluster, pod)
    if placement.feasible != feasible:
        note(f"{cluster}\n{pod}")
    assert placement.feasible == feasible
    assert bool(placement.node) is bool(feasible)
    if feasible:
        totals = rules.totals(cluster, pod, feasible)
        if totals[placement.node] != max(totals.values()):
            note(f"{placement.node} of {totals}\n{cluster}\n{pod}")
        assert totals[placement.node] == max(totals.values())
    return placement.node


@many
@given(seeds, node_counts, pod_counts)
def test_the_same_nodes_fit_and_the_best_is_chosen(seed: int, node_count: int, pod_count: int) -> None:
    generator = Generator(seed)
    cluster = generator.cluster(node_count, pod_count)
    subject = Subject(cluster)
    for number in range(3):
        agree(cluster, subject, generator.pod(f"new{number}"))


@many
@given(seeds, node_counts, pod_counts)
def test_with_arguments_too(seed: int, node_count: int, pod_count: int) -> None:
    """Scoring strategies, ignored resources, weights, added affinity, default constraints of one's own."""
    generator = Generator(seed)
    cluster = generator.cluster(node_count, pod_count)
    cluster.arguments = generator.arguments()
    subject = Subject(cluster)
    for number in range(3):
        agree(cluster, subject, generator.pod(f"new{number}"))


@settings(many, max_examples=400)
@given(seeds, node_counts, pod_counts, st.integers(1, 12))
def test_what_is_kept_is_what_a_recount_finds(seed: int, node_count: int, pod_count: int, steps: int) -> None:
    """Pods come, change and go, nodes change, come and go; for each decision the reference counts anew."""
    generator = Generator(seed)
    cluster = generator.cluster(node_count, pod_count)
    subject = Subject(cluster)
    for step in range(steps):
        change(generator, cluster, subject, step)
        agree(cluster, subject, generator.pod(f"new{step}"))


def change(generator: Generator, cluster: Cluster, subject: Subject, step: int) -> None:
    """One thing happens to both."""
    what = generator.one("place", "update", "remove", "assume", "node", "node away")
    if what == "place" and cluster.nodes:
        pod = generator.pod(f"q{step}", node=generator.one(*cluster.nodes))
        cluster.pods[key(pod)] = pod
        subject.put_pod(pod)
    elif what == "update" and cluster.pods:
        old = generator.one(*cluster.pods.values())
        pod = {**old, "metadata": {**old["metadata"], "labels": generator.labels()}}
        cluster.pods[key(pod)] = pod
        subject.put_pod(pod)
    elif what == "remove" and cluster.pods:
        subject.remove_pod(cluster.pods.pop(generator.one(*cluster.pods)))
    elif what == "assume":
        assume(generator, cluster, subject, step)
    elif what == "node":
        node = generator.node(generator.one(*NODES))
        cluster.nodes[node["metadata"]["name"]] = node
        subject.set_node(node)
    elif what == "node away" and len(cluster.nodes) > 1:
        name = generator.one(*cluster.nodes)
        del cluster.nodes[name]
        subject.remove_node(name)


def assume(generator: Generator, cluster: Cluster, subject: Subject, step: int) -> None:
    """A pod goes where the scheduler wants it; binding it may fail."""
    pod = generator.pod(f"q{step}")
    node = agree(cluster, subject, pod)
    if not node:
        return
    subject.assume(pod, node)
    if generator.chance(0.3):
        subject.forget(pod)
        return
    cluster.pods[key(pod)] = {**pod, "spec": {**pod["spec"], "nodeName": node}}
    if generator.chance(0.5):
        subject.put_pod(cluster.pods[key(pod)])


@many
@given(seeds, node_counts, pod_counts)
def test_preemption_does_the_least_harm(seed: int, node_count: int, pod_count: int) -> None:
    generator = Generator(seed)
    cluster = generator.cluster(node_count, pod_count, simple=True)
    pod = generator.pod("new", simple=True)
    pod["spec"]["priority"] = 7
    if rules.feasible(cluster, pod):
        return
    subject = Subject(cluster)
    expected = preemption.candidates(cluster, pod)
    found = subject.victims(pod)
    if found != {node: harm.victims for node, harm in expected.items()}:
        note(f"{cluster}\n{pod}")
    assert found == {node: harm.victims for node, harm in expected.items()}
    chosen = subject.nominated(pod)
    assert chosen in (preemption.best(expected) or {""})
    if chosen:
        none_too_many(cluster, pod, chosen, expected[chosen].victims)


def none_too_many(cluster: Cluster, pod: Document, node: str, victims: frozenset[str]) -> None:
    """Without the victims the pod fits; without all but one of them it does not."""
    gone = [cluster.pods[name] for name in victims]
    assert rules.fits(cluster.without(gone), pod, cluster.nodes[node])
    for spared in gone:
        others = [one for one in gone if one is not spared]
        assert not rules.fits(cluster.without(others), pod, cluster.nodes[node]), "a victim too many"

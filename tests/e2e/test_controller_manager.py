"""The controller manager as somebody sees it who has to keep it running."""

from __future__ import annotations

from tests.e2e.kubectl import Kubectl, eventually, run
from tests.e2e.pods import apply

SERVER = "https://172.30.0.11:10257"


def ask(cluster: str, path: str, token: str = "") -> str:
    """The answer's body and, in the last line, its code; from inside of the node's network."""
    header = ["-H", f"authorization: Bearer {token}"] if token else []
    return run([
        "nsenter", f"--net=/run/netns/sampan-{cluster}-{cluster}-1", "curl", "--silent", "--show-error",
        "--cacert", f"/var/lib/sampan/{cluster}/pki/ca.crt", "--write-out", "\n%{http_code}", *header, SERVER + path,
    ])


def test_one_manager_leads_and_shows_its_health_and_figures(kubectl: Kubectl, cluster: str) -> None:
    assert kubectl.json("get", "lease", "kube-controller-manager", "-n", "kube-system")["spec"]["holderIdentity"]
    assert ask(cluster, "/healthz") == "ok\n200"
    assert "[+]controllers ok" in ask(cluster, "/readyz?verbose")
    assert ask(cluster, "/metrics").endswith("401")
    kubectl("create", "serviceaccount", "scraper")
    token = kubectl("create", "token", "scraper").strip()
    assert ask(cluster, "/metrics", token).endswith("403")
    name = f"{kubectl.namespace}-metrics"
    apply(
        kubectl,
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
         "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
         "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": kubectl.namespace}]},
    )
    try:
        # A refusal is remembered for half a minute, as upstream's delegated authorisation does.
        found = eventually(lambda: text if (text := ask(cluster, "/metrics", token)).endswith("200") else "")
        assert 'leader_election_master_status{name="kube-controller-manager"} 1.0' in found
        assert 'workqueue_depth{name="deployment"}' in found
        crashed = [line for line in found.splitlines() if 'result="crash"' in line and not line.endswith(" 0.0")]
        assert not crashed
    finally:
        kubectl("delete", "clusterrole,clusterrolebinding", name)

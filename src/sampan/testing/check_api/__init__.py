"""What every Kubernetes API server must do, whatever kinds it serves: one function a behaviour, for any endpoint.

    python -m sampan.testing.check_api --kubeconfig FILE [--only TEXT]

prints one line a behaviour and ends with 1 if any does not hold. It needs an administrator, makes namespaces
`check-api-…` of its own and removes them. Nothing in it depends on controllers other than the namespace controller and
the one that makes service accounts, so it can judge a bare API server as well as a whole cluster.

With pytest:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_server(check): await run(check, transport)
"""

from sampan.testing.check_api.endpoint import Check, Endpoint, run
from sampan.testing.check_api.suite import CHECKS

__all__ = ["CHECKS", "Check", "Endpoint", "run"]

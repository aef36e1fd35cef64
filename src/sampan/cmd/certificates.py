"""The renewal of a cluster's certificates, as a part of a process that runs on the machine and may write its keys."""

from __future__ import annotations

import asyncio
import contextlib

from sampan.cmd import credentials, layout
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.process import Part
from sampan.pki import rotation
from sampan.pki.cluster import ClusterPKI

_DAY_S = 86400.0


def certificates(cluster: ClusterLayout) -> Part:
    """Those of nodes that join meanwhile, too: what there is to renew is looked up anew every day."""

    async def part() -> None:
        while True:
            present = layout.load(cluster.name) or cluster
            pki = await asyncio.to_thread(credentials.ensure, present)

            def renewed(renewable: rotation.Renewable, pki: ClusterPKI = pki) -> None:
                if renewable.name == "admin":
                    credentials.write_admin_kubeconfig(cluster, pki)

            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DAY_S):
                    await rotation.keep_renewed(pki.renewables, renewed)

    return part

"""Every benchmark, one after the other."""

from __future__ import annotations

import asyncio

import uvloop

from bench import api, cluster

print("== a local cluster")
asyncio.run(cluster.main())
print("\n== the API server")
uvloop.run(api.main())

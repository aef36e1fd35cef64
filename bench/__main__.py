"""Every benchmark, one after the other."""

from __future__ import annotations

import asyncio

from bench import cluster

asyncio.run(cluster.main())

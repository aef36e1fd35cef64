"""Every benchmark, or one of them:

python -m bench [cluster | api [OPERATION…] | scheduler [SCENARIO…] [--scale S] | simulation]
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from bench import api, cluster, scheduler, simulation

part, arguments = (sys.argv[1], sys.argv[2:]) if sys.argv[1:] else ("", [])
if part not in ("", "cluster", "api", "scheduler", "simulation"):
    raise SystemExit(f"{part}: no such benchmark; there are cluster, api, scheduler and simulation")
if part in ("", "cluster"):
    print("== a local cluster")
    asyncio.run(cluster.main())
if part in ("", "api"):
    print("\n== the API server")
    uvloop.run(api.main(arguments))
if part in ("", "scheduler"):
    print("\n== the scheduler")
    uvloop.run(scheduler.main(arguments))
if part in ("", "simulation"):
    print("\n== the simulator")
    simulation.main()

"""Every benchmark, or one of them:

python -m bench [cluster | api [OPERATION…] | large [OBJECTS] | connections |
                 scheduler [SCENARIO…] [--scale S] | simulation]
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from bench import api, cluster, connections, large, scheduler, simulation

PARTS = ("cluster", "api", "large", "connections", "scheduler", "simulation")
part, arguments = (sys.argv[1], sys.argv[2:]) if sys.argv[1:] else ("", [])
if part not in ("", *PARTS):
    raise SystemExit(f"{part}: no such benchmark; there are {', '.join(PARTS)}")
if part in ("", "cluster"):
    print("== a local cluster")
    asyncio.run(cluster.main())
if part in ("", "api"):
    print("\n== the API server")
    uvloop.run(api.main(arguments))
if part in ("", "large"):
    print("\n== the API server: a large store, many watchers")
    uvloop.run(large.main(*map(int, arguments)))
if part in ("", "connections"):
    print("\n== the API server: what connections leave behind")
    uvloop.run(connections.main())
if part in ("", "scheduler"):
    print("\n== the scheduler")
    uvloop.run(scheduler.main(arguments))
if part in ("", "simulation"):
    print("\n== the simulator")
    simulation.main()

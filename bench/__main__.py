"""Every benchmark, or one of them:

python -m bench [cluster | api [OPERATION…] | large [OBJECTS] | connections |
                 scheduler [SCENARIO…] [--scale S] | simulation]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import uvloop

from bench import api, cluster, connections, large, scheduler, simulation

Run: TypeAlias = Callable[[list[str]], Any]

BENCHMARKS: Final[Mapping[str, tuple[str, Run]]] = {
    "cluster": ("a local cluster", lambda arguments: asyncio.run(cluster.main())),
    "api": ("the API server", lambda arguments: uvloop.run(api.main(arguments))),
    "large": ("the API server: a large store, many watchers",
              lambda arguments: uvloop.run(large.main(*map(int, arguments)))),
    "connections": ("the API server: what connections leave behind",
                    lambda arguments: uvloop.run(connections.main())),
    "scheduler": ("the scheduler", lambda arguments: uvloop.run(scheduler.main(arguments))),
    "simulation": ("the simulator", lambda arguments: simulation.main()),
}


def main(asked: str, arguments: list[str]) -> None:
    if asked and asked not in BENCHMARKS:
        raise SystemExit(f"{asked}: no such benchmark; there are {', '.join(BENCHMARKS)}")
    for name, (title, run) in BENCHMARKS.items():
        if asked in ("", name):
            print(f"\n== {title}", flush=True)
            run(arguments)


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "", sys.argv[2:])

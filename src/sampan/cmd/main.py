"""The composition root of the `sampan` command: the command line over this machine's clusters."""

from __future__ import annotations

from sampan.cli.main import run
from sampan.cmd import component_commands, simulate
from sampan.cmd.local_cluster import LocalClusters


def main() -> None:
    run(LocalClusters(), simulate.add, component_commands.add)


if __name__ == "__main__":
    main()

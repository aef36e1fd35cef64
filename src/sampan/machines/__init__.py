"""Several nodes on one machine: a network namespace each, linked by a fabric; all of it removed without trace."""

from sampan.machines.layout import CLUSTER_VARIABLE, Layout, node_address
from sampan.machines.namespace import call_in, enter, exec_in
from sampan.machines.node import NodeMachine
from sampan.machines.sweep import StillThere, sweep
from sampan.machines.traces import Leftovers, leftovers

__all__ = [
    "CLUSTER_VARIABLE", "Layout", "Leftovers", "NodeMachine", "StillThere", "call_in", "enter", "exec_in", "leftovers",
    "node_address", "sweep",
]

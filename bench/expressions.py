"""What limits of cost cost: `python -m bench.expressions`.

CPU of a CEL evaluation within the limits, with its activation, as a multiple of the same in the CEL library alone; and
CPU of evaluations that use their limits up, as a multiple of the python workload of the calibration. The first should
stay under 1.3, the second bounds how long one expression can hold the server.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from bench import calibration
from sampan.apimachinery.cel.budget import RUNTIME_BUDGET, Budget
from sampan.apimachinery.cel.counting.results import plain
from sampan.apimachinery.cel.environment import PER_CALL_LIMIT, environment
from sampan.apimachinery.cel.errors import CostExceeded

TIMES, ROUNDS = 2000, 7
POD = {"metadata": {"name": "web-1", "labels": {str(i): str(i) for i in range(10)}}, "spec": {"containers": [
    {"name": f"c{number}", "image": "registry.example/image:1", "env": [
        {"name": str(i), "value": str(i)} for i in range(10)
    ]} for number in range(3)
]}}
CASES: tuple[tuple[str, Any], ...] = (
    ("self.min <= self.max", {"min": 1, "max": 2}),
    ("self.name.startsWith('a') && self.name.size() < 64", {"name": "abc"}),
    ("has(self.metadata.labels) && self.metadata.labels['1'] == '1' && self.metadata.name != 'x'", POD),
    ("self.spec.containers.all(c, c.image.startsWith('registry.example/'))", POD),
    ("self.items.all(x, self.items.exists_one(y, y == x))", {"items": list(range(30))}),
)
DEAR: tuple[tuple[str, Any], ...] = (
    ("self.all(x, self.all(y, x + y >= 0))", list(range(1000))),
    ("self.all(x, self.all(y, x.contains(y) || true))", ["abcdefghij"] * 1000),
    ("self.map(x, self.map(y, x + y)).size() > 0", list(range(1000))),
    ("self.all(x, self.all(y, x.format([y]) != ''))", ["abc"] * 1000),
)


def cpu(run: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - began) / times


def within(text: str, value: Any) -> tuple[float, float]:
    """Seconds of an evaluation in the library alone, and with all limits."""
    env = environment(("self", "dyn"))
    program, data = env.compile(text), {"self": value}
    alone, limited = [], []
    for _ in range(ROUNDS):  # in turn, since the machine has other work
        alone.append(cpu(lambda: plain(program._expression.eval(env._env.Activation(data))), TIMES))
        limited.append(cpu(lambda: Budget(RUNTIME_BUDGET).evaluate(program, env.activation(data)), TIMES))
    return min(alone), min(limited)


def used_up(text: str, value: Any) -> float:
    """Seconds until the limit of one evaluation stops it."""
    env = environment(("self", "dyn"))
    program, activation = env.compile(text), env.activation({"self": value})
    began = time.process_time()
    try:
        program.evaluate(activation)
    except CostExceeded:
        return time.process_time() - began
    raise AssertionError(f"{text} cost {program.counted(activation).cost} of {PER_CALL_LIMIT}")


def main() -> None:
    machine = calibration.measure()
    print(machine)
    ratios = []
    for text, value in CASES:
        alone, limited = within(text, value)
        ratios.append(limited / alone)
        print(f"{limited / alone:5.2f} x of {alone * 1e6:6.1f} us  {text}")
    print(f"{statistics.median(ratios):5.2f} x  median")
    for text, value in DEAR:
        print(f"{used_up(text, value) / machine.python_s:5.2f} x calibration until it is stopped  {text}")


if __name__ == "__main__":
    main()

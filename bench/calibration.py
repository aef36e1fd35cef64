"""What this machine can do right now: the yardsticks that the figures are divided by.

- `python_s`: CPU seconds of a fixed pure-Python workload (encode and decode a Pod-like document 2,000 times).
- `process_s`: seconds to start and reap one `/bin/true`, the median of 50; starting containers is mostly such work.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from dataclasses import dataclass

DOCUMENT = {
    "metadata": {"name": "a", "labels": {str(i): str(i) for i in range(20)}},
    "spec": {"containers": [{"name": "c", "env": [{"name": str(i), "value": str(i)} for i in range(20)]}]},
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds each yardstick took."""

    python_s: float
    process_s: float

    def __str__(self) -> str:
        return f"calibration: python workload {self.python_s * 1e3:.0f} ms CPU, process {self.process_s * 1e3:.1f} ms"


def measure() -> Calibration:
    began = time.process_time()
    for _ in range(2000):
        json.loads(json.dumps(DOCUMENT))
    python_s = time.process_time() - began
    starts = []
    for _ in range(50):
        began = time.perf_counter()
        subprocess.run(["/bin/true"], check=True)
        starts.append(time.perf_counter() - began)
    return Calibration(python_s, statistics.median(starts))

"""How much work something was, for figures that people read; no decision may ever depend on it."""

from __future__ import annotations

import time


def cpu_s() -> float:
    """Seconds of processor time that this process has used."""
    return time.process_time()

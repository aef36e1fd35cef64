"""Waiting for what a client sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kubernetes.client import ApiException

_pause = threading.Event()


def eventually(condition: Callable[[], Any], within_s: float = 90.0) -> Any:
    """The first true answer; refusals, and what is missing in an answer, count as no."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            found = condition()
            if found:
                return found
            last: object = found
        except (ApiException, AssertionError, OSError, LookupError, ValueError) as error:
            last = error
        assert time.monotonic() < deadline, f"not within {within_s} s; last: {last}"
        _pause.wait(0.05)

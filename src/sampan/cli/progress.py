"""Shows a person what is being done: one line a step, with the time it took.

On a terminal the current step's line is rewritten when it ends; elsewhere (a log) each step prints one line then.
Standard error, so that standard output stays clean for `-o json` and pipes.
"""

from __future__ import annotations

import sys

from sampan import effects


class Steps:
    """A sequence of steps; beginning one ends the one before."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._current = ""
        self._began_s = 0.0
        self._terminal = sys.stderr.isatty()

    def begin(self, text: str) -> None:
        """Start the step `text`, e.g. "starting the control plane"."""
        if text == self._current:
            return
        self.finish()
        self._current, self._began_s = text, effects.monotonic()
        if self._terminal and not self._quiet:
            print(f"  … {text}", end="", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """End the current step, if there is one."""
        if self._current and not self._quiet:
            took_s = effects.monotonic() - self._began_s
            start = "\r\x1b[K" if self._terminal else ""
            print(f"{start}  ✓ {self._current} ({took_s:.1f} s)", file=sys.stderr, flush=True)
        self._current = ""

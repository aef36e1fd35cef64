"""Runs the installed `sampan` and plain kubectl, and waits for what they show."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPAN = Path(sys.executable).with_name("sampan")
MANIFESTS = Path(__file__).parent / "manifests"
DEADLINE_S = 150.0
_pause = threading.Event()


class Failed(AssertionError):
    """A command ended with another exit code than 0."""

    def __init__(self, argv: list[str], code: int, out: str, err: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit {code}\n{out}\n{err}")
        self.code, self.out, self.err = code, out, err


def run(argv: list[str], *, stdin: str | None = None, timeout_s: float = DEADLINE_S) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise Failed(argv, done.returncode, done.stdout, done.stderr)
    return done.stdout


def sampan(*arguments: str, timeout_s: float = 180.0) -> str:
    return run([str(SAMPAN), *arguments], timeout_s=timeout_s)


def up(name: str, *options: str) -> str:
    """Bring a cluster up; it may take as long as it does on a machine with much else to do."""
    return sampan("up", "--name", name, "--wait=5m", *options, timeout_s=330)


def kill(pid: int) -> None:
    """SIGKILL. 0, which a status shows for a process that does not run, would mean this one and all of its group."""
    assert pid > 0
    os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], Any], timeout_s: float = DEADLINE_S, what: str = "") -> Any:
    """The first true answer of `condition`; what it raises meanwhile, or finds missing in an answer, counts as no."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (AssertionError, subprocess.TimeoutExpired, OSError, LookupError, StopIteration, ValueError) as error:
            last = error
        _pause.wait(0.1)
    raise AssertionError(f"{what or condition}: not after {timeout_s} s; last: {last}")


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One kubectl binary on one cluster, in one namespace."""

    binary: str
    kubeconfig: Path
    namespace: str = "default"

    def argv(self, *arguments: str) -> list[str]:
        return [self.binary, "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *arguments]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout_s: float = DEADLINE_S) -> str:
        return run(self.argv(*arguments), stdin=stdin, timeout_s=timeout_s)

    def fails(self, *arguments: str, stdin: str | None = None) -> str:
        """What a command that must fail prints on standard error."""
        try:
            out = self(*arguments, stdin=stdin)
        except Failed as error:
            return error.err
        raise AssertionError(f"{' '.join(arguments)} succeeded: {out}")

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def apply(self, manifest: str) -> str:
        return self("apply", "-f", "-", stdin=manifest)

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1,
        )

    def in_terminal(self, *arguments: str, typed: str = "", until: str = "", timeout_s: float = DEADLINE_S) -> str:
        """Run on a pseudo terminal, type `typed`, and give all that appeared until it ends or `until` is seen."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(self.binary, self.argv(*arguments))
        seen = ""
        deadline = time.monotonic() + timeout_s
        sent = False
        try:
            while time.monotonic() < deadline:
                ready, _, _ = select.select([terminal], [], [], 0.2)
                if ready:
                    try:
                        data = os.read(terminal, 65536)
                    except OSError:
                        break
                    if not data:
                        break
                    seen += data.decode(errors="replace")
                if not sent and typed and ("#" in seen or "$" in seen or "If you don't see" in seen):
                    os.write(terminal, typed.encode())
                    sent = True
                if until and until in seen:
                    break
            return seen
        finally:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(pid, 0)
            os.close(terminal)


def rows(table: str) -> list[list[str]]:
    """A printed table's rows, split where two or more blanks are."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip()]

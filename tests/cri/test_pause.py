"""The infra container's program: it waits, reaps orphans and leaves when asked to, also as PID 1."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.cri import pause

DEADLINE_S = 60.0


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "pause"
    path.write_bytes(pause.binary(platform.machine()))
    path.chmod(0o755)
    return path


def _eventually(condition: Callable[[], object], what: str) -> None:
    wait = threading.Event()
    for _ in range(int(DEADLINE_S / 0.02)):
        if condition():
            return
        wait.wait(0.02)
    raise AssertionError(what)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _waits(pid: int) -> bool:
    """Whether it is the program by now, and asleep, which it is nowhere but where it waits for signals."""
    status = Path(f"/proc/{pid}/status").read_text()
    return "Name:\tpause\n" in status and "State:\tS" in status


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_it_exits_with_zero_when_asked_to(program: Path, asked: signal.Signals) -> None:
    with subprocess.Popen([program]) as process:
        try:
            # Before it waits for them, signals do what they did in the process that started it: end it, or nothing.
            _eventually(lambda: _waits(process.pid), "it does not wait")
            process.send_signal(asked)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def test_as_pid_1_it_reaps_orphans_and_leaves(program: Path) -> None:
    script = f"(sleep 0.05 &) ; exec {program}"
    with subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script]) as outer:
        try:
            _eventually(lambda: _children(outer.pid), "no child appeared")
            [init] = _children(outer.pid)
            _eventually(lambda: _waits(init) and not _children(init), "the orphan was not reaped")
            os.kill(init, signal.SIGTERM)
            assert outer.wait(DEADLINE_S) == 0
        finally:
            outer.kill()


def test_both_architectures_are_well_formed_executables() -> None:
    for machine in ("x86_64", "aarch64"):
        data = pause.binary(machine)
        assert data[:4] == b"\x7fELF"
        assert len(data) < 512

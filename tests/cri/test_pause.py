"""The infra container's program: it waits, reaps orphans and leaves when asked to, also as PID 1."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import threading
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


def _child_of(pid: int) -> int:
    deadline = threading.Event()
    for _ in range(int(DEADLINE_S / 0.02)):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        deadline.wait(0.02)
    raise AssertionError("no child appeared")


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_it_exits_with_zero_when_asked_to(program: Path, asked: signal.Signals) -> None:
    with subprocess.Popen([program]) as process:
        process.send_signal(asked)
        assert process.wait(DEADLINE_S) in (0, -asked)  # before the mask is set the default action applies


def test_as_pid_1_it_reaps_orphans_and_leaves(program: Path) -> None:
    script = f"(sleep 0.05 &) ; exec {program}"
    with subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script]) as outer:
        init = _child_of(outer.pid)
        try:
            wait = threading.Event()
            for _ in range(int(DEADLINE_S / 0.02)):
                name = Path(f"/proc/{init}/comm").read_text().strip()
                children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
                if name == "pause" and not children:
                    break
                wait.wait(0.02)
            else:
                raise AssertionError("the orphan was not reaped")
            os.kill(init, signal.SIGTERM)
            assert outer.wait(DEADLINE_S) == 0
        finally:
            outer.kill()


def test_both_architectures_are_well_formed_executables() -> None:
    for machine in ("x86_64", "aarch64"):
        data = pause.binary(machine)
        assert data[:4] == b"\x7fELF"
        assert len(data) < 512

"""The published suite of the API's generic semantics, against the running cluster, as anyone would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sampan.testing.check_api import CHECKS


def test_every_behaviour_holds(kubeconfig: Path):
    done = subprocess.run(
        [sys.executable, "-m", "sampan.testing.check_api", "--kubeconfig", str(kubeconfig)], text=True,
        capture_output=True, timeout=280, check=False,
    )
    assert "FAIL" not in done.stdout and done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CHECKS)} of {len(CHECKS)} hold" in done.stdout

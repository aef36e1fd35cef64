"""A SIGKILL at any instant loses no acknowledged write and tears nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

NURSERY = Path(__file__).with_name("crash_nursery.py")


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    kills = 100
    done = subprocess.run(
        [sys.executable, NURSERY, tmp_path, str(kills), str(seed)], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert seen["kills"] == kills
    assert seen["kills_while_writing"] > kills / 5, seen
    assert seen["revision"] >= seen["acknowledged"] > 0, seen

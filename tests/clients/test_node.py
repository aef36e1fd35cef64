"""@kubernetes/client-node from npm: an informer, the generic client, a raw watch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "node" / "tour.mjs"
PACKAGE = Path(sys.prefix) / "share/sampan-tests/node/node_modules/@kubernetes/client-node"


@pytest.mark.skipif(shutil.which("node") is None, reason="this machine has no node")
def test_an_informer_is_told_of_every_change(kubeconfig: Path, namespace: str):
    assert PACKAGE.exists(), "`make test` installs it"
    done = subprocess.run(
        ["node", str(PROGRAM), str(PACKAGE), str(kubeconfig), namespace], text=True, capture_output=True, timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["events"] == [
        ["add", "before", "0"], ["add", "after", "1"], ["update", "after", "2"], ["delete", "after", "2"],
    ]
    assert found["cached"] == ["before"] and found["unhurt"]
    assert found["managers"] == [["tour", "Apply"]]
    assert found["pods"] == ["Running", "Running"]
    assert ["MODIFIED", 0] in found["changes"]
    assert found["refused"] == [404, 'pods "none" not found']

"""The README's tour, typed as it stands: every command works and prints what the README shows.

What differs from run to run (ages, addresses, generated names, progress of a rollout) is masked on both sides.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.kubectl import eventually, sampan

ROOT = Path(__file__).parents[2]
LOOKS = ("kubectl get ", "kubectl exec ")
"""What only looks may look again: who types is slower than controllers, a test is not."""
MASKS = (
    (r"^Waiting for deployment .*\n", ""),
    (r"-[a-z0-9]{8,10}(-[a-z0-9]{5})?\b", "-HASH"),
    (r"-[a-z0-9]{5}\b(?= +IPv4)", "-HASH"),
    (r"\b\d+(m|s|ms)(\d+s)?\b", "AGE"),
    (r"\b10\.244\.\d+\.\d+\b", "POD-IP"),
    (r"\b(sampan|e2e)-1\b", "NODE"),
    (r" from \w+ namespace$", ""),  # newer kubectls say it
    (r"[ -]{2,}", " "),
    (r" +$", ""),
)


def _tour() -> list[tuple[str, str]]:
    """(command, expected output) of every `$ ` line after the heading."""
    text = (ROOT / "README.md").read_text().partition("## A first tour")[2].partition("\n## ")[0]
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for piece in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = piece.partition("\n")
            found.append((command, output))
    return found


def _masked(text: str) -> list[str]:
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text, flags=re.M)
    return sorted(line for line in text.splitlines() if line and "deployment/hello" not in line)


def test_the_tour_of_the_readme_works_as_printed(cluster: str) -> None:
    environment = {
        **os.environ, "SAMPAN_NAME": cluster, "KUBECONFIG": sampan("kubeconfig", "path", "--name", cluster).strip(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    tour = _tour()
    assert len(tour) > 10

    def works(command: str, expected: str) -> bool:
        done = subprocess.run(
            command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert _masked(done.stdout) == _masked(expected), command
        return True

    for command, expected in tour:
        if command.startswith(LOOKS):
            eventually(lambda command=command, expected=expected: works(command, expected), what=command)
        else:
            works(command, expected)

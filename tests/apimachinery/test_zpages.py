"""/statusz and /flagz: text for people, documents for programs that say which."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import yaml

from sampan.apimachinery.http import Response
from sampan.apimachinery.zpages import flags_of, flagz, statusz

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def asked(accept: str) -> Response:
    times = BEGAN, BEGAN + timedelta(seconds=3725)
    return statusz(accept, "kube-x", "1.37.0", times, ["/readyz", "/livez", "/livez"])


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", "text/*", "application/json, text/plain;charset=utf-8"])
def test_people_get_text(accept: str) -> None:
    response = asked(accept)
    assert response.status == 200 and response.headers["content-type"] == "text/plain; charset=utf-8"
    lines = response.body.decode().splitlines()
    assert lines[1] == "kube-x statusz" and lines[2].startswith("Warning: This endpoint is not meant to be machine")
    assert lines[4:6] == ["Started: Fri Jan  2 03:04:05 UTC 2026", "Up: 1 hr 02 min 05 sec"]
    assert lines[-1] == "Paths: /livez /readyz" and "Emulation version: 1.37" in lines


def test_programs_say_which_version() -> None:
    response = asked("application/json;v=v1beta1;g=config.k8s.io;as=Statusz")
    found = orjson.loads(response.body)
    assert found.pop("goVersion").startswith("python3.")
    assert found == {
        "kind": "Statusz", "apiVersion": "config.k8s.io/v1beta1", "metadata": {"name": "kube-x"},
        "startTime": "2026-01-02T03:04:05Z", "uptimeSeconds": 3725, "binaryVersion": "1.37.0",
        "emulationVersion": "1.37", "paths": ["/livez", "/readyz"],
    }
    assert "warning" not in response.headers
    older = asked("application/yaml; g=config.k8s.io; v=v1alpha1; as=Statusz")
    assert yaml.safe_load(older.body)["apiVersion"] == "config.k8s.io/v1alpha1"
    assert older.headers["warning"].startswith('299 - "This version of the statusz endpoint is deprecated.')


@pytest.mark.parametrize("accept", [
    "application/json", "text/html", "application/json;v=v2;g=config.k8s.io;as=Statusz",
    "application/json;v=v1beta1;g=config.k8s.io;as=Flagz", "application/json;v=v1beta1;g=apps;as=Statusz",
])
def test_anything_else_is_not_acceptable(accept: str) -> None:
    assert asked(accept).status == 406


@dataclasses.dataclass
class Settings:
    leader_elect: bool = True
    key_files: tuple[str, ...] = ("a", "b")
    ca_file: Path = Path("/ca")
    root_ca: bytes = b"secret"
    period_s: float = 5.0


def test_settings_are_flags_but_what_is_kept_in_memory_is_not() -> None:
    flags = flags_of(Settings())
    assert flags == {"leader-elect": "true", "key-files": "a,b", "ca-file": "/ca", "period-s": "5.0"}
    text = flagz("", "kube-x", flags).body.decode()
    assert text.startswith("\nkube-x flags\nWarning: ") and text.endswith("\nleader-elect=true\nperiod-s=5.0\n")
    found = orjson.loads(flagz("application/json;v=v1beta1;g=config.k8s.io;as=Flagz", "kube-x", flags).body)
    assert found == {"kind": "Flagz", "apiVersion": "config.k8s.io/v1beta1", "metadata": {"name": "kube-x"},
                     "flags": flags}

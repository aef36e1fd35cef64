"""A spec that was found valid lately is known again, and only such a one."""

from __future__ import annotations

import copy
from typing import Any

from sampan.api.core import pod_spec
from sampan.api.core.pod_defaults import default_pod_spec
from sampan.api.core.pod_spec import validate_pod_spec
from sampan.apimachinery.field import Path


def spec(volume: str = "kube-api-access-abcde", mount: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {
        "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": mount or volume, "mountPath": "/t"}]}],
        "volumes": [{"name": volume, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
    }
    default_pod_spec(found)
    return found


def texts(found: dict[str, Any]) -> list[str]:
    return [str(error) for error in validate_pod_spec(found, Path("spec"))]


def test_rules_are_gone_through_once_for_specs_that_differ_in_the_name_of_the_token_volume(monkeypatch: Any) -> None:
    seen = []
    validate = pod_spec._validate

    def counted(found: Any, path: Any) -> Any:
        seen.append(found)
        return validate(found, path)

    monkeypatch.setattr(pod_spec, "_validate", counted)
    first = spec()
    first["hostname"] = "only-in-this-test"
    second = copy.deepcopy(first)
    second["volumes"][0]["name"] = second["containers"][0]["volumeMounts"][0]["name"] = "kube-api-access-fghij"
    assert texts(first) == texts(second) == []
    assert len(seen) == 1


def test_a_name_that_only_one_place_has_is_found_wrong() -> None:
    assert texts(spec()) == []
    assert texts(spec(mount="kube-api-access-fghij")) == [
        'spec.containers[0].volumeMounts[0].name: Not found: "kube-api-access-fghij"'
    ]
    assert "spec.volumes[0].name" in texts(spec("kube-api-access-ABCDE"))[0]


def test_what_was_found_wrong_is_found_wrong_again() -> None:
    wrong = spec()
    wrong["restartPolicy"] = "Sometimes"
    assert texts(wrong) == texts(wrong) != []

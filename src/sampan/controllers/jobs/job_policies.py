"""A Job's own rules: what a pod's failure means (podFailurePolicy) and when enough has succeeded (successPolicy).

Both are lists of rules of which the first that matches decides. A failure that no rule matches counts against the
backoff limit, as one does without rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sampan.apimachinery.object import Object, dig, name_of, namespace_of
from sampan.controllers.jobs.job_pods import expanded_indexes

COUNT, IGNORE, FAIL_INDEX, FAIL_JOB = "Count", "Ignore", "FailIndex", "FailJob"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a failure means, and why in words."""

    action: str = COUNT
    message: str = ""
    matched: bool = False
    """By a rule; without one a failure counts too."""


def ruling_on(job: Object, pod: Object) -> Ruling:
    """What the failure policy says of a failed pod."""
    for number, rule in enumerate(dig(job, "spec", "podFailurePolicy", "rules", default=())):
        action = str(rule.get("action"))
        name = f"{namespace_of(pod)}/{name_of(pod)}"
        if (codes := rule.get("onExitCodes")) is not None:
            hit = _exit(pod, codes)
            if hit is not None:
                container, code = hit
                text = f"Container {container} for pod {name} failed with exit code {code} matching {action} rule"
                return Ruling(action, f"{text} at index {number}", True)
        elif (found := _condition(pod, rule.get("onPodConditions") or ())) is not None:
            return Ruling(action, f"Pod {name} has condition {found} matching {action} rule at index {number}", True)
    return Ruling()


def success(job: Object, done: frozenset[int]) -> str | None:
    """Which rule of the success policy holds, in words. `done` are the indexes that have succeeded."""
    if not done:
        return None
    completions = int(dig(job, "spec", "completions", default=0))
    for number, rule in enumerate(dig(job, "spec", "successPolicy", "rules", default=())):
        text, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if text is None:
            met = count is not None and len(done) >= count
        else:
            wanted = frozenset(one for one in expanded_indexes(text) if one < completions)
            met = bool(wanted) and (wanted <= done or (count is not None and len(done & wanted) >= count))
        if met:
            return f"Matched rules at index {number}"
    return None


def _exit(pod: Object, codes: Object) -> tuple[str, int] | None:
    """The container whose exit code the requirement matches. Successful containers never match."""
    only, values = codes.get("containerName"), codes.get("values") or ()
    for name, code in _exit_codes(pod):
        if code and (only is None or only == name) and (code in values) == (codes.get("operator") == "In"):
            return name, code
    return None


def _exit_codes(pod: Object) -> Iterator[tuple[str, int]]:
    for field in ("containerStatuses", "initContainerStatuses"):
        for status in dig(pod, "status", field, default=()):
            code = dig(status, "state", "terminated", "exitCode")
            if code is not None:
                yield str(status.get("name")), int(code)


def _condition(pod: Object, patterns: Iterable[Object]) -> str | None:
    for found in dig(pod, "status", "conditions", default=()):
        for pattern in patterns:
            if found.get("type") == pattern.get("type") and found.get("status") == pattern.get("status", "True"):
                return str(found["type"])
    return None

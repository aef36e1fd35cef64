"""Generated token Secrets that nobody uses: which are marked, which are deleted, and which stay."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sampan.apimachinery.object import Object
from sampan.controllers.accounts.legacy_token_cleaner import (
    INVALID_SINCE,
    LAST_USED,
    NAME,
    PERIOD,
    TYPE,
    UID,
    generated,
    mounted,
    plan_token,
)
from sampan.controllers.times import text
from sampan.reconcile.plan import Delete, Patch

DAY = timedelta(days=1)


def token(make, created: datetime | None = None, annotations: Object | None = None, **labels: str) -> Object:
    found = {NAME: "sa", UID: "uid-sa"} if annotations is None else annotations
    metadata = make.meta("t", labels=labels, annotations=found)
    return {"metadata": {**metadata, "creationTimestamp": text(created or make.now - 3 * PERIOD)}, "type": TYPE}


def day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")


@pytest.mark.parametrize(("used", "invalid", "becomes"), [
    (None, None, Patch), ("long ago", None, Patch), ("lately", None, None), ("2022-12-27-1", None, None),
    (None, "2022-12-29-1", Patch), (None, "lately", None), (None, "long ago", Delete),
    ("long ago", "lately", None), ("long ago", "long ago", Delete), ("lately", "long ago", None),
])
def test_what_becomes_of_a_token(make, used, invalid, becomes) -> None:
    days = {"long ago": day(make.now - PERIOD - DAY), "lately": day(make.now - PERIOD + 2 * DAY)}
    given = {LAST_USED: days.get(used, used), INVALID_SINCE: days.get(invalid, invalid)}
    secret = token(make, **{label: value for label, value in given.items() if value})
    steps = plan_token(secret, make.now - PERIOD, make.now)
    assert [type(one) for one in steps] == ([becomes] if becomes else [])
    for step in steps:
        if isinstance(step, Patch):
            assert step.patch["metadata"] == {"uid": "uid-t", "labels": {INVALID_SINCE: day(make.now)}}
        else:
            assert step.resource_version == secret["metadata"]["resourceVersion"]


def test_what_is_young_goes_already_or_is_not_tracked_for_long_enough_stays(make) -> None:
    unused = {LAST_USED: day(make.now - 2 * PERIOD)}
    assert plan_token(token(make, **unused), make.now - PERIOD, make.now)
    assert not plan_token(token(make, make.now - DAY, **unused), make.now - PERIOD, make.now)
    assert not plan_token(token(make), make.now - PERIOD + DAY, make.now)
    going = token(make)
    going["metadata"]["deletionTimestamp"] = make.now_text
    assert not plan_token(going, make.now - PERIOD, make.now)


@pytest.mark.parametrize(("annotations", "listed", "counts"), [
    ({NAME: "sa", UID: "uid-sa"}, ["t"], True), ({NAME: "sa"}, ["t"], True), ({NAME: "sa", UID: "uid-sa"}, [], False),
    ({NAME: "sa", UID: "another"}, ["t"], False), ({NAME: "missing"}, ["t"], False), ({NAME: ""}, ["t"], False),
    ({}, ["t"], False),
])
def test_only_tokens_that_their_own_account_lists_were_generated(make, annotations, listed, counts) -> None:
    account = {"metadata": make.meta("sa"), "secrets": [{"name": name} for name in listed]}
    secret = token(make, annotations=annotations)
    assert generated([secret], [account]) == ([secret] if counts else [])
    assert not generated([{**secret, "type": "Opaque"}], [account])


def test_what_a_pod_mounts_is_in_use(make) -> None:
    pod = make.pod("p")
    pod["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "t"}}, {"name": "e", "emptyDir": {}}]
    assert mounted([pod]) == {"default/t"} and mounted([make.pod("q")]) == set()

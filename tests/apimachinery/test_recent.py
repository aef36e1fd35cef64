"""Answers that are remembered by what they are about."""

from __future__ import annotations

from sampan.apimachinery.recent import Recent, digest


def test_an_answer_is_known_again_by_an_equal_document() -> None:
    recent: Recent[str] = Recent(10)
    recent.put(digest({"a": [1, {"b": None}]}), "yes")
    assert recent.get(digest({"a": [1, {"b": None}]})) == "yes"
    assert recent.get(digest({"a": [1, {"b": 0}]})) is None


def test_the_oldest_answers_go_first() -> None:
    recent: Recent[int] = Recent(2)
    for number in range(3):
        recent.put(digest(number), number)
    assert [recent.get(digest(number)) for number in range(3)] == [None, 1, 2]

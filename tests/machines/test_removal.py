"""Removing a directory: all of it, nothing beyond it, and no complaint about what cannot go."""

from __future__ import annotations

import os
from pathlib import Path

from sampan.machines.removal import remove_tree


def test_everything_in_it_goes_and_what_links_lead_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("data")
    top = tmp_path / "top"
    for number in range(200):
        place = top / str(number % 7) / str(number)
        place.mkdir(parents=True)
        (place / "file").write_text("x")
        (place / "empty").mkdir()
    (top / "to-directory").symlink_to(outside)
    (top / "to-file").symlink_to(outside / "kept")
    (top / "to-nowhere").symlink_to("nothing")
    os.mkfifo(top / "pipe")
    (top / "0" / "sealed").mkdir(mode=0o500)
    remove_tree(top)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").read_text() == "data"


def test_directories_deeper_than_any_path_go_too(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("a" * 30, dir_fd=at)
        below = os.open("a" * 30, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    remove_tree(top)
    assert not top.exists()


def test_what_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []

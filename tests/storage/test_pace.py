"""When a commit is waited for in place, and when a thread waits for it."""

from __future__ import annotations

from sampan import effects
from sampan.storage.pace import MANY, PROBE_EVERY, QUICK_S, Pace


class Disk(effects.SystemSource):
    """Commits take as long as `commit_s` says."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.commit_s = QUICK_S / 10

    def monotonic(self) -> float:
        return self.now_s

    def commit(self, pace: Pace) -> bool:
        """Whether it was done in place."""
        if not pace.in_place(1):
            return False
        with effects.use(self), pace.measured():
            self.now_s += self.commit_s
        return True


def test_a_quick_disk_is_waited_for_in_place() -> None:
    disk, pace = Disk(), Pace()
    assert all(disk.commit(pace) for _ in range(1000))


def test_a_slow_disk_is_left_to_the_thread_and_asked_again_once_in_a_while() -> None:
    disk, pace = Disk(), Pace()
    disk.commit_s = 20 * QUICK_S
    assert sum(disk.commit(pace) for _ in range(10 * PROBE_EVERY)) <= 11
    disk.commit_s = QUICK_S / 10
    for _ in range(40 * PROBE_EVERY):
        disk.commit(pace)
    assert all(disk.commit(pace) for _ in range(100))


def test_one_stall_of_a_quick_disk_does_not_last() -> None:
    disk, pace = Disk(), Pace()
    for _ in range(10):
        disk.commit(pace)
    disk.commit_s, quick_s = 20 * QUICK_S, disk.commit_s
    disk.commit(pace)
    disk.commit_s = quick_s
    assert sum(disk.commit(pace) for _ in range(20 * PROBE_EVERY)) > 10 * PROBE_EVERY


def test_many_writes_at_once_go_to_the_thread() -> None:
    assert Pace().in_place(MANY)
    assert not Pace().in_place(MANY + 1)

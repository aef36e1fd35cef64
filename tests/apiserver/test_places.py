"""Places for connections: who gives way, who is refused."""

import resource
import subprocess
import sys

from sampan.apiserver.places import Places


class Occupant:
    gave_way = False

    def give_way(self):
        self.gave_way = True


def test_the_longest_idle_gives_way():
    places, old, recent = Places(2), Occupant(), Occupant()
    assert places.take(old) and places.take(recent)
    places.busy(old)
    places.idle(old)
    assert places.take(Occupant())
    assert recent.gave_way and not old.gave_way and len(places) == 2


def test_the_busy_keep_their_places():
    places, busy = Places(1), Occupant()
    places.take(busy)
    places.busy(busy)
    newcomer = Occupant()
    assert not places.take(newcomer) and not busy.gave_way and places.refused == 1
    assert newcomer in list(places)
    places.idle(newcomer)
    places.leave(busy)
    assert places.take(Occupant())


def test_many_who_find_no_place_are_not_even_told():
    places, busy = Places(1), Occupant()
    places.take(busy)
    places.busy(busy)
    told = [Occupant() for _ in range(64)]
    assert not any(places.take(one) for one in told[:-1]) and not places.is_hopeless
    places.take(told[-1])
    assert places.is_hopeless
    places.leave(told[0])
    assert not places.is_hopeless


def test_there_are_no_more_places_than_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        assert Places(hard * 2).limit < hard


def test_a_process_lets_itself_open_as_many_files_as_it_may():
    script = """
import resource
from sampan.apiserver.places import Places
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(Places(500).limit, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["500", "628"]

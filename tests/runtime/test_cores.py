"""How processes of a machine divide its cores, and how threads are scheduled; real processes are in `tests/processes`."""

import os
import threading

import pytest

from lithax.runtime import _cores

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are divided on Linux alone")


class Local:
    """One of the processes of a machine, and what all of them tell each other."""

    def __init__(self, rank, told):
        self.rank, self.told = rank, told

    def allgather(self, own):
        return [own, *self.told]

    def Get_rank(self):
        return self.rank


@pytest.fixture
def taken(monkeypatch, tmp_path):
    """Which cores a process takes, of a machine with two cores of two threads each: 0 and 2, 1 and 3."""
    for core in range(4):
        folder = tmp_path / f"cpu{core}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text("0\n")
        (folder / "core_id").write_text(f"{core % 2}\n")
    found = []
    monkeypatch.setattr(_cores, "_TOPOLOGY", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: found.append(cores))
    monkeypatch.delenv(_cores.SHARED, raising=False)

    def take(rank, *others):
        _cores.divide_cores(Local(rank, [(wanted, cores) for wanted, cores in others]))
        return found.pop() if found else None

    return take


def test_threads_of_a_core_stay_together(taken):
    other = (True, [0, 1, 2, 3])
    assert taken(0, other) == [0, 2]
    assert taken(1, other) == [1, 3]
    assert [taken(k, *[other] * 3) for k in range(4)] == [[0], [2], [1], [3]]


def test_who_keeps_what_it_has(taken, monkeypatch):
    """One alone; where a launcher gave cores; where there are more processes than cores; and where one of them says so."""
    assert taken(0) is None
    assert taken(0, (True, [2, 3])) is None
    assert taken(0, *[(True, [0, 1, 2, 3])] * 4) is None
    assert taken(0, (False, [0, 1, 2, 3])) is None
    monkeypatch.setenv(_cores.SHARED, "1")
    assert taken(0, (True, [0, 1, 2, 3])) is None


def test_threads_that_are_started_meanwhile_are_patient():
    usual, found = os.sched_getscheduler(0), []
    with _cores.patient_threads():
        thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == usual

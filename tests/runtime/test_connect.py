"""Which world a program joins, and what the processes of a world say to each other; played by threads, or by one process."""

import os

import pytest

from lithax import runtime
from lithax.errors import ProcessFailure
from lithax.images._collective import together
from lithax.runtime import _connect, _launcher
from lithax.testing import on_threads
from lithax.testing._thread_world import ThreadWorld

LAUNCHERS = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"]


@pytest.fixture
def nobody_launched(monkeypatch):
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_connect._Connection, "world", None)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_is_noticed(nobody_launched, monkeypatch, name):
    assert _launcher.launched_processes() == 1
    monkeypatch.setenv(name, "4")
    assert _launcher.launched_processes() == 4
    with pytest.raises(RuntimeError, match=r"4 copies of .* begin the program with lithax.runtime.connect\(\)"):
        runtime.check_launcher()
    assert runtime.connect("serial").count == 1
    runtime.check_launcher()


def test_the_shell_of_an_allocation_is_no_launcher(nobody_launched, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_JOB_NUM_NODES"):
        monkeypatch.setenv(name, "4")
    assert runtime.connect().count == 1


def test_connecting_twice_and_in_two_ways(nobody_launched):
    world = runtime.connect()
    assert runtime.connect() is runtime.connected() is world
    assert (world.index, world.count, world.first) == (0, 1, True)
    assert len(world.devices) >= 1
    with pytest.raises(ValueError, match="kind='mpi', but this program is connected as SerialWorld"):
        runtime.connect("mpi")
    with pytest.raises(ValueError, match="use 'auto', 'serial', 'mpi' or 'jax'"):
        runtime.connect("slurm")


def test_one_process_asks_nobody():
    world = runtime.SerialWorld()
    world.barrier()
    world.check()
    assert world.broadcast(3) == world.reduce(3, max) == 3
    assert world.gather(3) == [3]
    assert world.give({0: 3}) == {0: 3}
    assert world.neighbours == (0,)
    assert world.cores == (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),)
    error = OSError("torn")
    with pytest.raises(OSError, match="torn") as raised:
        world.agree(error)
    assert raised.value is error


@pytest.mark.parametrize("count", [2, 3, 5])
def test_values_come_in_the_order_of_the_processes(count):
    def work(world):
        return world.gather(world.index), world.broadcast(world.index), world.reduce(str(world.index), str.__add__)

    expected = list(range(count)), 0, "".join(map(str, range(count)))
    assert on_threads(count, work) == [expected] * count


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_is_given_to_one_reaches_only_that_one(count):
    def work(world):
        first = world.give({k: (world.index, k) for k in range(world.index, world.count)})
        return first, world.give({0: world.index} if world.index % 2 else {})

    for index, (first, second) in enumerate(on_threads(count, work)):
        assert first == {k: (k, index) for k in range(index + 1)}
        assert second == ({k: k for k in range(1, count, 2)} if index == 0 else {})


def test_nobody_waits_for_what_one_that_failed_would_give(monkeypatch):
    deliver = ThreadWorld._deliver
    monkeypatch.setattr(ThreadWorld, "_deliver", lambda w, m, s: deliver(w, m, s) if w.index != 1 else 1 / 0)

    def work(world):
        with together(world):
            world.give(dict.fromkeys(range(3), "something"))

    first, second, third = on_threads(3, work)
    assert isinstance(second, ZeroDivisionError)
    assert isinstance(first, ProcessFailure)
    assert isinstance(third, ProcessFailure)


def test_what_cannot_be_given_is_said():
    for error in on_threads(2, lambda world: world.give({2: "nobody"})):
        assert "values is for process 2; there are the processes 0 to 1" in str(error)
    first, second = on_threads(2, lambda world: world.give({1: lambda: 0} if world.first else {}))
    assert isinstance(first, TypeError)
    assert isinstance(second, ProcessFailure)
    assert "values cannot be sent to other processes" in str(second)


def test_cores_that_several_may_use_are_divided():
    for cores in on_threads(2, lambda world: world.cores):
        assert cores == (max(1, runtime.SerialWorld().cores[0] // 2),) * 2


def test_a_failure_meets_the_others_wherever_they_are():
    def work(world):
        if world.index == 1:
            raised = ValueError("bad block")
            world.announce(raised)
            world.agree(raised)
        while True:
            try:
                world.check()
            except ProcessFailure as noticed:
                with pytest.raises(ProcessFailure) as failure:
                    world.gather(0)
                return str(noticed), failure.value

    (notice, failure), own, (other_notice, _) = on_threads(3, work)
    assert isinstance(own, ValueError)
    assert notice == other_notice == "process 1 of 3 failed: ValueError: bad block"
    assert "Its traceback:" in str(failure)


def test_those_that_fail_for_themselves_raise_their_own_error():
    def work(world):
        if world.index < 2:
            world.agree(KeyError(world.index))
        world.agree()

    first, second, third = on_threads(3, work)
    assert isinstance(first, KeyError)
    assert isinstance(second, KeyError)
    assert "process 0 of 3" in str(third)
    assert "Process 1" in third.__notes__[0]


class Unsendable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


def test_the_same_type_everywhere_if_it_can_be_sent():
    def work(world):
        world.agree((FileExistsError("taken") if same else Unsendable(1, 2)) if world.first else None, same_type=True)

    same = True
    assert [type(e) for e in on_threads(2, work)] == [FileExistsError, FileExistsError]
    same = False
    assert [type(e) for e in on_threads(2, work)] == [Unsendable, ProcessFailure]


def test_what_cannot_be_sent_is_said():
    first, second = on_threads(2, lambda world: world.gather(lambda: 0 if world.first else 1))
    assert isinstance(first, TypeError)
    assert "cannot be sent to other processes" in str(first)
    assert isinstance(second, TypeError)


class Accelerator:
    """As much of a GPU as can be had without one."""

    platform = "gpu"


@pytest.mark.parametrize(
    ("count", "dealt"), [(1, ["012"]), (2, ["02", "1"]), (3, ["0", "1", "2"]), (4, ["0", "1", "2", "0"])]
)
def test_accelerators_of_a_machine_are_dealt_out_in_turn(monkeypatch, count, dealt):
    """Each of as many processes as GPUs has one; of more processes some share."""
    local = [Accelerator() for _ in range(3)]
    monkeypatch.setattr("jax.local_devices", lambda: local)
    found = on_threads(count, lambda world: "".join(str(local.index(d)) for d in world.devices))
    assert found == dealt


def test_devices_are_chosen_by_number():
    with runtime.using(devices=[0]) as chosen:
        assert runtime.devices() == chosen
    with runtime.using(devices=[]) as chosen:
        assert chosen[0].platform == "cpu"
    refused = pytest.raises(ValueError, match=r"devices=\['gpu'\] names 'gpu'; this process has the devices 0 to")
    with refused, runtime.using(devices=["gpu"]):
        pass
    assert runtime.report().startswith("process 0 of 1 on ")

"""Worker threads that read, compute and write different blocks at the same time."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from lithax.chunked._freed_memory import keep_freed_memory

_WATCH_EVERY = 1.0
_NOTHING = (None, None, None)


def run_all(
    tasks: Iterable[Any],
    work: Callable[[Any], Any],
    workers: int,
    done: Callable[[Any, Any], None] = lambda task, result: None,
    watch: Callable[[], None] = lambda: None,
    *,
    interruptible: bool = False,
) -> None:
    """Call ``work(task)`` for every task in `workers` threads and ``done(task, result)`` in this
    one.

    Tasks start in order. After the first failure, or Ctrl-C, no further task starts, those under
    way come to their end, and the failure is raised here with its own traceback. Threads never run
    further ahead than `workers` results. ``watch()`` is called in this thread after every result,
    and now and then while there is none; what it raises is a failure, too. Work that is
    `interruptible` leaves nothing half done wherever Ctrl-C meets it: a single task of that kind is
    done here, which saves the thread (as much as a small block takes).
    """
    keep_freed_memory()
    if interruptible and isinstance(tasks, list) and len(tasks) == 1:
        done(tasks[0], work(tasks[0]))
        watch()
        return
    supply = iter(tasks)
    lock = threading.Lock()
    stop = threading.Event()
    results: queue.Queue = queue.Queue()
    room = threading.Semaphore(2 * workers)

    def loop() -> None:
        while True:
            room.acquire()
            with lock:
                if stop.is_set():
                    break
                try:
                    task = next(supply)
                except StopIteration:
                    break
                except BaseException as error:
                    stop.set()
                    results.put((None, None, error))
                    break
            try:
                results.put((task, work(task), None))
            except BaseException as error:
                stop.set()
                results.put((task, None, error))
        results.put(None)

    threads = [threading.Thread(target=loop, name=f"lithax-block-{k}", daemon=True) for k in range(workers)]
    running, failure = workers, None
    try:
        for thread in threads:
            thread.start()
        while running:
            try:
                item = results.get(timeout=_WATCH_EVERY)
            except queue.Empty:
                item = _NOTHING
            if failure is None:
                try:
                    watch()
                except BaseException as problem:
                    stop.set()
                    failure = problem
                    for _ in threads:
                        room.release()
            if item is _NOTHING:
                continue
            if item is None:
                running -= 1
                continue
            room.release()
            task, result, error = item
            if error is not None:
                failure = failure or error
            elif failure is None:
                try:
                    done(task, result)
                except BaseException as problem:
                    stop.set()
                    failure = problem
            if failure is not None:
                for _ in threads:
                    room.release()
    finally:
        stop.set()
        for _ in threads:
            room.release()
        for thread in threads:
            if thread.ident is not None:  # Ctrl-C may come before all have begun
                thread.join()
    if failure is not None:
        raise failure

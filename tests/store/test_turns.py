"""The writers' lock: one at a time, in the order of asking, with a limit to the waiting."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from store.turns import Turns


def _wait_until_waiting(turns: Turns, number: int) -> None:
    while len(turns._waiting) < number:
        threading.Event().wait(0.001)


def test_turns_come_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def take(name: int) -> None:
        assert turns.acquire(10.0)
        order.append(name)
        turns.release()

    assert turns.acquire(1.0)
    threads = [threading.Thread(target=take, args=(name,)) for name in range(12)]
    for number, thread in enumerate(threads):
        thread.start()
        _wait_until_waiting(turns, number + 1)
    turns.release()
    for thread in threads:
        thread.join()
    assert order == list(range(12))
    assert turns.acquire(0.0)


def test_who_gives_up_leaves_the_row() -> None:
    turns, said = Turns(), []
    with _held_elsewhere(turns):
        assert not turns.acquire(0.01)
        assert not turns.held_by_me()
        later = threading.Thread(target=lambda: said.append(turns.acquire(10.0)))
        later.start()
        _wait_until_waiting(turns, 1)
    later.join()
    assert said == [True]


@contextmanager
def _held_elsewhere(turns: Turns) -> Iterator[None]:
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        turns.acquire(1.0)
        taken.set()
        free.wait()
        turns.release()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    yield
    free.set()
    thread.join()

"""What processes ask of Python itself."""

import sys
import threading
import time

from app import processes


def test_who_let_go_of_python_gets_it_back_soon_from_a_thread_that_computes() -> None:
    usual, ended, waited = sys.getswitchinterval(), threading.Event(), []

    def compute() -> None:
        while not ended.is_set():
            sum(range(100))

    thread = threading.Thread(target=compute)
    processes.take_short_turns()
    thread.start()
    try:
        for _ in range(40):
            began = time.perf_counter()
            time.sleep(0.001)
            waited.append(time.perf_counter() - began)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(usual)
    assert min(waited) < usual  # without, none is less than this and the millisecond of sleep

"""The lock of the servo loop: whoever waits is next, however busy the loop is."""

import threading
import time

import pytest

from conure_ros.drivers.turn_lock import TurnLock


def test_who_waits_is_next_though_the_holder_takes_it_again_at_once():
    lock, order = TurnLock(), []

    def wait():
        with lock:
            order.append("waited")

    for _ in range(50):
        lock.acquire()
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.005)
        lock.release()
        lock.acquire()
        order.append("again")
        lock.release()
        waiting.join()
    assert order == ["waited", "again"] * 50


def test_who_holds_it_may_take_it_again_and_others_wait_until_all_is_released():
    lock, had = TurnLock(), []
    with lock, lock:
        waiting = threading.Thread(target=lambda: had.append(lock.acquire(timeout=0.05)))
        waiting.start()
        waiting.join()
    assert had == [False]
    later = threading.Thread(target=lambda: had.append(lock.acquire(timeout=1.0)))
    later.start()
    later.join()
    assert had == [False, True]


def test_only_its_holder_releases_it():
    lock, refused = TurnLock(), []
    with pytest.raises(RuntimeError, match="the thread that holds it"):
        lock.release()

    def release():
        with pytest.raises(RuntimeError):
            lock.release()
        refused.append(True)

    with lock:
        thread = threading.Thread(target=release)
        thread.start()
        thread.join()
    assert refused == [True]
